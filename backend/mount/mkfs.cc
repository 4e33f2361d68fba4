#include "backend/mount/mkfs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {
namespace {

constexpr std::string_view kSbinDirectories = "/usr/local/sbin:/usr/sbin:/sbin";
constexpr size_t kMaxMessageBytes = 2000;
constexpr int kImageFdInChild = 3;

struct Mkfs {
  std::string filesystem;              // "btrfs"
  std::string package;                 // that has its mkfs
  std::vector<std::string> arguments;  // all but the image
};

std::string FindMkfs(const Mkfs& mkfs) {
  const char* path = std::getenv("PATH");
  const std::string directories =
      fmt::format("{}:{}", path == nullptr ? "" : path, kSbinDirectories);
  std::string_view rest = directories;
  while (!rest.empty()) {
    const std::string_view directory = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), directory.size() + 1));
    std::string program = fmt::format("{}/mkfs.{}", directory, mkfs.filesystem);
    // A relative entry of PATH would run what lies in the current directory.
    if (directory.starts_with('/') && access(program.c_str(), X_OK) == 0) return program;
  }
  throw Error(ENOENT, fmt::format("make a filesystem ({})", mkfs.filesystem),
              fmt::format("mkfs.{} is not installed", mkfs.filesystem),
              fmt::format("Install the package {}", mkfs.package));
}

// posix_spawn's two tables, freed at the end of the scope.
class SpawnPlan {
 public:
  SpawnPlan() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

// Runs `program`, its last argument `image_fd`, its words going to `output_fd`; returns its wait status. The caller's blocked and ignored signals are not passed on.
int Run(const std::string& program, std::vector<std::string> words, int image_fd, int output_fd) {
  SpawnPlan plan;
  posix_spawn_file_actions_addopen(&plan.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  // Both are copied out of the way first: either may have the number that the other one shall get.
  const UniqueFd output(CheckSyscall(fcntl(output_fd, F_DUPFD_CLOEXEC, 10), "copy a descriptor"));
  const UniqueFd image(CheckSyscall(fcntl(image_fd, F_DUPFD_CLOEXEC, 10), "copy a descriptor"));
  posix_spawn_file_actions_adddup2(&plan.actions, output.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&plan.actions, output.get(), STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&plan.actions, image.get(), kImageFdInChild);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&plan.attributes, &none);
  posix_spawnattr_setsigdefault(&plan.attributes, &all);
  posix_spawnattr_setflags(&plan.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  words.insert(words.begin(), program);
  words.push_back(fmt::format("/proc/self/fd/{}", kImageFdInChild));
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::string locale = "LC_ALL=C";
  std::array<char*, 2> environment = {locale.data(), nullptr};

  pid_t child = 0;
  const int error = posix_spawn(&child, program.c_str(), &plan.actions, &plan.attributes,
                                argv.data(), environment.data());
  if (error != 0) throw Error(error, "run " + program);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) ThrowErrno("wait for " + program);
  }
  return status;
}

// The program's words in one line.
std::string ReadMessage(int fd) {
  std::string text(kMaxMessageBytes, '\0');
  const ssize_t got = pread(fd, text.data(), text.size(), 0);
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  std::string line;
  for (const char c : text) {
    const bool blank = c == '\n' || c == ' ' || c == '\t';
    if (!blank) line += c;
    if (blank && !line.empty() && line.back() != ' ') line += ' ';
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

void MakeFilesystem(const Mkfs& mkfs, int image_fd) {
  const std::string program = FindMkfs(mkfs);
  const UniqueFd output(CheckSyscall(memfd_create("mkfs", MFD_CLOEXEC), "make a buffer for mkfs"));
  const int status = Run(program, mkfs.arguments, image_fd, output.get());
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  std::string why = ReadMessage(output.get());
  if (why.empty()) why = fmt::format("it ended with wait status {:#x}", status);
  const bool full = why.find("No space left on device") != std::string::npos;
  throw Error(full ? ENOSPC : EIO, "make a filesystem with " + program, why,
              full ? "Free some space on the disk of the store" : "");
}

}  // namespace

void MakeBtrfs(int image_fd) {
  MakeFilesystem({.filesystem = "btrfs",
                  .package = "btrfs-progs",
                  .arguments = {"-q", "-f", "-L", "ckptfs", "-d", "single"}},
                 image_fd);
}

void MakeExt4(int image_fd) {
  constexpr char kNothingLeftToDo[] =
      "lazy_itable_init=0,lazy_journal_init=0,assume_storage_prezeroed=1,nodiscard";
  struct stat image {};
  CheckSyscall(fstat(image_fd, &image), "look at an image");
  const int64_t journal_mib = std::clamp(image.st_size >> 25, int64_t{4}, int64_t{32});
  MakeFilesystem({.filesystem = "ext4",
                  .package = "e2fsprogs",
                  .arguments = {"-q", "-F", "-L", "ckptfs", "-b", "4096", "-m", "0", "-J",
                                fmt::format("size={}", journal_mib), "-E", kNothingLeftToDo}},
                 image_fd);
}

void MakeXfs(int image_fd) {
  MakeFilesystem({.filesystem = "xfs",
                  .package = "xfsprogs",
                  .arguments = {"-q", "-f", "-K", "-L", "ckptfs", "-s", "size=4096"}},
                 image_fd);
}

}  // namespace ckptfs
