// stuck_writes --memory DIR --uid UID --files N PATH: as an ordinary user, has N files PATH-0, PATH-1 ... open
// (with --nameless: files without a name in the directory PATH), each with a write(2) that does not end
// while this runs. Its bytes are to come from a mapping of a file of a
// filesystem that never answers a READ; anybody may mount such a one, here root does, on DIR. Says
// "stuck" when all have begun, and ends when its standard input does; the writes then fail.
//
// Three processes: the filesystem, the writer, and the one that was called; they go with it.
#define FUSE_USE_VERSION 317
#include <fcntl.h>
#include <fmt/format.h>
#include <fuse_lowlevel.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr char kFileName[] = "never";
constexpr fuse_ino_t kFile = 2;
constexpr size_t kBytes = 4096;
constexpr double kForever = 1e6;

// --- The filesystem ------------------------------------------------------------------------------

struct stat AttributesOf(fuse_ino_t node) {
  struct stat status {};
  status.st_ino = node;
  status.st_nlink = 1;
  status.st_mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0444;
  status.st_size = node == FUSE_ROOT_ID ? 0 : kBytes;
  return status;
}

void LookUp(fuse_req_t request, fuse_ino_t /*parent*/, const char* name) {
  if (std::string_view(name) != kFileName) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = kFile;
  entry.attr = AttributesOf(kFile);
  entry.attr_timeout = entry.entry_timeout = kForever;
  fuse_reply_entry(request, &entry);
}

void GetAttributes(fuse_req_t request, fuse_ino_t node, fuse_file_info* /*file*/) {
  const struct stat status = AttributesOf(node);
  fuse_reply_attr(request, &status, kForever);
}

void Open(fuse_req_t request, fuse_ino_t /*node*/, fuse_file_info* file) {
  fuse_reply_open(request, file);
}

void ReadNever(fuse_req_t /*request*/, fuse_ino_t /*node*/, size_t /*size*/, off_t /*offset*/,
               fuse_file_info* /*file*/) {}

[[noreturn]] void ServeMemory(const std::string& directory, int ready) {
  fuse_lowlevel_ops operations{};
  operations.lookup = LookUp;
  operations.getattr = GetAttributes;
  operations.open = Open;
  operations.read = ReadNever;
  std::string words[] = {"stuck_writes", "-o", "allow_other,fsname=stuck_writes"};
  char* arguments[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(3, arguments);
  fuse_session* session = fuse_session_new(&args, &operations, sizeof(operations), nullptr);
  if (session == nullptr || fuse_session_mount(session, directory.c_str()) != 0) _exit(1);
  close(ready);  // its other end tells
  fuse_session_loop(session);
  _exit(0);
}

// --- The writer ----------------------------------------------------------------------------------

struct Writes {
  std::string path;
  uid_t uid = 65534;
  int files = 1;
  bool nameless = false;
};

void WriteFrom(const void* memory, const Writes& writes, int number, std::atomic<int>& begun) {
  const std::string path =
      writes.nameless ? writes.path : fmt::format("{}-{}", writes.path, number);
  const int flags = writes.nameless ? O_TMPFILE : O_CREAT;
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC | flags, 0644);
  if (fd < 0) {
    std::perror(path.c_str());
    _exit(1);
  }
  ++begun;
  static_cast<void>(!write(fd, memory, kBytes));
  close(fd);
}

[[noreturn]] void WriteForEver(const std::string& directory, const Writes& writes) {
  const rlimit many{.rlim_cur = 65536, .rlim_max = 65536};
  setrlimit(RLIMIT_NOFILE, &many);
  const uid_t uid = writes.uid;
  if (setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0) _exit(1);
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a change of user takes it away
  const int fd = open((directory + "/" + kFileName).c_str(), O_RDONLY | O_CLOEXEC);
  const void* memory = mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE, fd, 0);
  if (fd < 0 || memory == MAP_FAILED) _exit(1);
  std::atomic<int> begun = 0;
  std::vector<std::jthread> threads;
  threads.reserve(static_cast<size_t>(writes.files));
  for (int i = 0; i < writes.files; ++i) {
    threads.emplace_back([&, i] { WriteFrom(memory, writes, i, begun); });
  }
  while (begun < writes.files) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  std::puts("stuck");
  std::fflush(stdout);
  threads.clear();
  _exit(0);
}

// --- The one that was called -----------------------------------------------------------------------

template <typename Run>
pid_t Start(const Run& run) {
  const pid_t pid = CheckSyscall(fork(), "start a process");
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  run();
  _exit(1);
}

int Main(int argc, char** argv) {
  CLI::App app("Writes that do not end");
  std::string directory;
  Writes writes;
  app.add_option("--memory", directory, "Where to mount the memory that never comes")->required();
  app.add_option("--uid", writes.uid, "Who writes");
  app.add_option("--files", writes.files, "How many files");
  app.add_flag("--nameless", writes.nameless, "Files that have no name, in the directory PATH");
  app.add_option("path", writes.path, "Their name, without the number")->required();
  CLI11_PARSE(app, argc, argv);

  int ready[2];
  CheckSyscall(pipe(ready), "make a pipe");
  const pid_t filesystem = Start([&] {
    close(ready[0]);
    ServeMemory(directory, ready[1]);
  });
  close(ready[1]);
  char byte = 0;
  while (read(ready[0], &byte, 1) < 0 && errno == EINTR) {
  }
  const pid_t writer = Start([&] { WriteForEver(directory, writes); });
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  kill(filesystem, SIGKILL);
  umount2(directory.c_str(), MNT_DETACH);
  int status = 0;
  waitpid(writer, &status, 0);
  waitpid(filesystem, nullptr, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace
}  // namespace ckptfs

int main(int argc, char** argv) {
  try {
    return ckptfs::Main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "stuck_writes: {}\n", error.what());
    return 1;
  }
}
