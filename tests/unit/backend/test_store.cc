#include "tests/unit/backend/test_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/mount_table.h"
#include "backend/interface/backend.h"
#include "backend/mount/loop_device.h"
#include "backend/registry.h"

namespace ckptfs {
namespace {

// Of mounts of scripts that run at the same time: these would keep their daemons after an unmount.
void DropCopiesOfMounts() {
  std::vector<std::string> copies;
  for (const Mount& mount : ReadMounts("/proc/self/mountinfo")) {
    if (mount.target.find("/ckptfs-test.") != std::string::npos) copies.push_back(mount.target);
  }
  std::reverse(copies.begin(), copies.end());  // the inner ones first
  for (const std::string& copy : copies) umount2(copy.c_str(), MNT_DETACH);
}

// So that a mount of a test that dies is nobody's but this process's.
void EnterPrivateMountNamespace() {
  static const bool entered = [] {
    CheckSyscall(unshare(CLONE_NEWNS), "make a mount namespace");
    CheckSyscall(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make mounts private");
    DropCopiesOfMounts();
    return true;
  }();
  (void)entered;
}

constexpr char kCreateVariable[] = "CKPTFS_TEST_CREATE";

// Failpoints are read once a process, so a test of them needs one of its own: this same program,
// started again with the variable "TYPE:BYTES:PATH", does that work instead of any test.
class CreationProcess : public testing::Environment {
 public:
  void SetUp() override {
    const char* variable = std::getenv(kCreateVariable);
    if (variable == nullptr) return;
    try {
      const std::string text = variable;
      const size_t first = text.find(':');
      const size_t second = text.find(':', first + 1);
      const UniqueFd store(CheckSyscall(
          open(text.c_str() + second + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open"));
      BackendOptions options;
      if (const uint64_t bytes = std::stoull(text.substr(first + 1)); bytes != 0) {
        options.size_bytes = bytes;
      }
      CreateBackend(store.get(), text.substr(0, first), options);
    } catch (const std::exception& error) {
      std::cerr << "in the child: " << error.what() << '\n';
    }
    _exit(1);
  }
};
const testing::Environment* const kCreationProcess =
    // GoogleTest owns it. NOLINTNEXTLINE(cppcoreguidelines-owning-memory)
    testing::AddGlobalTestEnvironment(new CreationProcess);

}  // namespace

bool CanUseLoopDevices() {
  const bool mkfs = std::system("PATH=$PATH:/usr/sbin:/sbin command -v mkfs.btrfs >/dev/null") == 0;
  // Opened: the node may be there without a driver.
  return mkfs && geteuid() == 0 && UniqueFd(open("/dev/loop-control", O_RDWR | O_CLOEXEC)).valid();
}

TestDirectory::TestDirectory() {
  std::string path = "/var/tmp/ckptfs-test-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) ThrowErrno("make " + path);
  path_ = path;
  fd_.Reset(CheckSyscall(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open " + path));
}

TestDirectory::~TestDirectory() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  if (error) std::cerr << "left behind: " << path_ << ": " << error.message() << '\n';
}

TestMount::TestMount(const std::string& type, const std::string& source, const std::string& target,
                     unsigned long flags, const std::string& options)
    : target_(target) {
  EnterPrivateMountNamespace();
  std::string device = source;
  std::optional<LoopDevice> loop;
  if (std::filesystem::is_regular_file(source)) {
    const UniqueFd file(CheckSyscall(open(source.c_str(), O_RDWR | O_CLOEXEC), "open " + source));
    loop.emplace(file.get(), LoopOptions{.name = source});
    device = loop->path();
  }
  CheckSyscall(mount(device.c_str(), target.c_str(), type.c_str(), flags, options.c_str()),
               "mount " + source);
}

TestMount::~TestMount() {
  if (umount2(target_.c_str(), 0) == 0) return;
  ADD_FAILURE() << "still in use: " << target_;
  umount2(target_.c_str(), MNT_DETACH);
}

void WriteFileAt(int dir_fd, const std::string& name, const std::string& content) {
  const UniqueFd fd(
      CheckSyscall(openat(dir_fd, name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644),
                   "make " + name));
  size_t done = 0;
  while (done < content.size()) {
    done += static_cast<size_t>(CheckSyscall(
        write(fd.get(), content.data() + done, content.size() - done), "write " + name));
  }
}

std::string ReadFileAt(int dir_fd, const std::string& name) {
  const UniqueFd fd(
      CheckSyscall(openat(dir_fd, name.c_str(), O_RDONLY | O_CLOEXEC), "open " + name));
  std::string content;
  std::string part(size_t{1} << 16, '\0');
  ssize_t got = 0;
  while ((got = CheckSyscall(read(fd.get(), part.data(), part.size()), "read " + name)) > 0) {
    content.append(part, 0, static_cast<size_t>(got));
  }
  return content;
}

bool ExistsAt(int dir_fd, const std::string& name) {
  struct stat stat {};
  return fstatat(dir_fd, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) == 0;
}

void CopySparse(const std::string& from, const std::string& to) {
  const UniqueFd source(CheckSyscall(open(from.c_str(), O_RDONLY | O_CLOEXEC), "open " + from));
  const UniqueFd target(
      CheckSyscall(open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), "make " + to));
  CheckSyscall(ftruncate(target.get(), lseek(source.get(), 0, SEEK_END)), "resize " + to);
  // What the kernel reads ahead counts as data, even where blocks are only allocated: copying half a GiB of them
  // takes so long that a store in use is not copied as it was at one moment.
  posix_fadvise(source.get(), 0, 0, POSIX_FADV_RANDOM);
  std::vector<char> buffer(size_t{1} << 20);
  off_t position = 0;
  while ((position = lseek(source.get(), position, SEEK_DATA)) >= 0) {
    const off_t end = lseek(source.get(), position, SEEK_HOLE);
    while (position < end) {
      const size_t wanted = std::min(buffer.size(), static_cast<size_t>(end - position));
      const ssize_t got =
          CheckSyscall(pread(source.get(), buffer.data(), wanted, position), "read");
      if (got == 0) return;
      CheckSyscall(pwrite(target.get(), buffer.data(), static_cast<size_t>(got), position),
                   "write");
      position += got;
    }
  }
}

bool RunAndKill(const std::function<void()>& body) {
  int ends[2];
  CheckSyscall(pipe2(ends, O_CLOEXEC), "make a pipe");
  UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t child = CheckSyscall(fork(), "fork");
  if (child == 0) {
    try {
      body();
      (void)!write(writer.get(), "x", 1);
      while (true) pause();
    } catch (const std::exception& error) {
      std::cerr << "in the child: " << error.what() << '\n';
    }
    _exit(1);
  }
  writer.Reset();
  char byte = 0;
  const bool ready = read(reader.get(), &byte, 1) == 1;
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  return ready;
}

bool CreateAndDieAt(const std::string& failpoint, const std::string& store_path,
                    const std::string& type, uint64_t size_bytes) {
  const std::string work = std::string(kCreateVariable) + "=" + type + ":" +
                           std::to_string(size_bytes) + ":" + store_path;
  const std::string point = "CKPTFS_FAILPOINT=" + failpoint;
  const std::string path = std::string("PATH=") + std::getenv("PATH");
  const pid_t child = CheckSyscall(fork(), "fork");
  const char* const environment[] = {work.c_str(), "CKPTFS_TESTING=may-kill-the-daemon",
                                     point.c_str(), path.c_str(), nullptr};
  if (child == 0) {
    execle("/proc/self/exe", "creation", "--gtest_brief=1", nullptr, environment);
    _exit(1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

}  // namespace ckptfs
