#include "tests/stress/program.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"

namespace ckptfs::stress {

ProgramResult RunProgram(const std::vector<std::string>& words, int directory) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  // No pipe: what the program leaves running (a daemon) may keep it open.
  const UniqueFd errors(memfd_create("errors", MFD_CLOEXEC));
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  const pid_t pid = CheckSyscall(fork(), "start " + words[0]);
  if (pid == 0) {
    dup2(null.get(), STDIN_FILENO);
    dup2(null.get(), STDOUT_FILENO);
    dup2(errors.get(), STDERR_FILENO);
    if (directory == AT_FDCWD || fchdir(directory) == 0) execvp(arguments[0], arguments.data());
    _exit(EXIT_FAILURE);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  ProgramResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.errors.resize(4096);
  const ssize_t size = pread(errors.get(), result.errors.data(), result.errors.size(), 0);
  result.errors.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return result;
}

}  // namespace ckptfs::stress
