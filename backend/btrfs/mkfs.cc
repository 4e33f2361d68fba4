#include "backend/btrfs/mkfs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {
namespace {

constexpr std::string_view kSbinDirectories = "/usr/local/sbin:/usr/sbin:/sbin";
constexpr size_t kMaxMessageBytes = 2000;
constexpr int kImageFdInChild = 3;

std::string FindMkfs() {
  const char* path = std::getenv("PATH");
  const std::string directories =
      fmt::format("{}:{}", path == nullptr ? "" : path, kSbinDirectories);
  std::string_view rest = directories;
  while (!rest.empty()) {
    const std::string_view directory = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), directory.size() + 1));
    std::string program = fmt::format("{}/mkfs.btrfs", directory);
    // A relative entry of PATH would run what lies in the current directory.
    if (directory.starts_with('/') && access(program.c_str(), X_OK) == 0) return program;
  }
  throw Error(ENOENT, "make a btrfs filesystem", "mkfs.btrfs is not installed",
              "Install the package btrfs-progs");
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

// Runs `program` with `image_fd` as descriptor 3 and its words going to `output_fd`; returns its
// wait status. The caller's blocked and ignored signals are not passed on.
int Run(const std::string& program, int image_fd, int output_fd) {
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

  std::string image_path = fmt::format("/proc/self/fd/{}", kImageFdInChild);
  std::array<std::string, 8> words = {"mkfs.btrfs", "-q", "-f",     "-L",
                                      "ckptfs",     "-d", "single", image_path};
  std::array<char*, words.size() + 1> argv{};
  for (size_t i = 0; i < words.size(); ++i) argv[i] = words[i].data();
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

}  // namespace

void MakeBtrfs(int image_fd) {
  const std::string program = FindMkfs();
  const UniqueFd output(CheckSyscall(memfd_create("mkfs", MFD_CLOEXEC), "make a buffer for mkfs"));
  const int status = Run(program, image_fd, output.get());
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  std::string why = ReadMessage(output.get());
  if (why.empty()) why = fmt::format("it ended with wait status {:#x}", status);
  const bool full = why.find("No space left on device") != std::string::npos;
  throw Error(full ? ENOSPC : EIO, "make a btrfs filesystem with " + program, why,
              full ? "Free some space on the disk of the store" : "");
}

}  // namespace ckptfs
