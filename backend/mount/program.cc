#include "backend/mount/program.h"

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
#include <string_view>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {
namespace {

constexpr std::string_view kSbinDirectories = "/usr/local/sbin:/usr/sbin:/sbin";
constexpr size_t kWordsMax = 2000;
constexpr int kFileFdInChild = 3;
// Copied descriptors from this number on do not clash with others.
constexpr int kOutOfTheWay = 10;

std::string Find(const Program& program) {
  const char* path = std::getenv("PATH");
  const std::string directories =
      fmt::format("{}:{}", path == nullptr ? "" : path, kSbinDirectories);
  std::string_view rest = directories;
  while (!rest.empty()) {
    const std::string_view directory = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), directory.size() + 1));
    std::string found = fmt::format("{}/{}", directory, program.name);
    // A relative entry of PATH would run files in the current directory.
    if (directory.starts_with('/') && access(found.c_str(), X_OK) == 0) return found;
  }
  throw Error(ENOENT, "run " + program.name, fmt::format("{} is not installed", program.name),
              fmt::format("Install the package {}", program.package));
}

// posix_spawn's two tables, freed by the destructor.
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

std::string ReadAll(int fd) {
  struct stat status {};
  CheckSyscall(fstat(fd, &status), "look at a program's output");
  std::string text(static_cast<size_t>(status.st_size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got =
        CheckSyscall(pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done)),
                     "read a program's output");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return text;
}

}  // namespace

bool ProgramResult::ExitedWith(int status) const {
  return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == status;
}

std::string ProgramResult::Words() const {
  std::string line;
  for (const char c : output.substr(0, kWordsMax)) {
    const bool blank = c == '\n' || c == ' ' || c == '\t';
    if (!blank) line += c;
    if (blank && !line.empty() && line.back() != ' ') line += ' ';
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line.empty() ? fmt::format("it ended with wait status {:#x}", wait_status) : line;
}

ProgramResult RunProgram(const Program& program, std::vector<std::string> arguments, int file_fd) {
  const std::string path = Find(program);
  SpawnPlan plan;
  posix_spawn_file_actions_addopen(&plan.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  const UniqueFd words(CheckSyscall(memfd_create("output", MFD_CLOEXEC), "make a buffer"));
  // Both are first copied to high numbers: either may have the number that the other is to get.
  const UniqueFd output(
      CheckSyscall(fcntl(words.get(), F_DUPFD_CLOEXEC, kOutOfTheWay), "copy a descriptor"));
  posix_spawn_file_actions_adddup2(&plan.actions, output.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&plan.actions, output.get(), STDERR_FILENO);
  UniqueFd file;
  if (file_fd >= 0) {
    file.Reset(CheckSyscall(fcntl(file_fd, F_DUPFD_CLOEXEC, kOutOfTheWay), "copy a descriptor"));
    posix_spawn_file_actions_adddup2(&plan.actions, file.get(), kFileFdInChild);
    arguments.push_back(fmt::format("/proc/self/fd/{}", kFileFdInChild));
  }
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&plan.attributes, &none);
  posix_spawnattr_setsigdefault(&plan.attributes, &all);
  posix_spawnattr_setflags(&plan.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  arguments.insert(arguments.begin(), path);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::string locale = "LC_ALL=C";
  std::array<char*, 2> environment = {locale.data(), nullptr};

  pid_t child = 0;
  const int error = posix_spawn(&child, path.c_str(), &plan.actions, &plan.attributes, argv.data(),
                                environment.data());
  if (error != 0) throw Error(error, "run " + path);
  ProgramResult result;
  while (waitpid(child, &result.wait_status, 0) < 0) {
    if (errno != EINTR) ThrowErrno("wait for " + path);
  }
  result.output = ReadAll(words.get());
  return result;
}

}  // namespace ckptfs
