#include "tools/ckptfs/daemonise.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <system_error>

#include "backend/base/error.h"
#include "backend/base/text.h"

namespace ckptfs {
namespace {

constexpr int kMountFailed = 32;  // as by mount(8)

// Until then, daemon and kernel may still be negotiating their features, which depends on system settings
// that may change as soon as the command has returned.
[[noreturn]] void AwaitFirstAnswer(const std::string& mountpoint) {
  struct stat status {};
  if (stat(mountpoint.c_str(), &status) == 0) _exit(0);
  std::cerr << "ckptfs: mount on " << PlainText(mountpoint)
            << ": the mount does not answer: " << std::generic_category().message(errno)
            << ". See the journal.\n";
  _exit(kMountFailed);
}

// The child writes its exit status as one byte, then a line for stderr or, if the status is 0, the directory
// that it has mounted on.
[[noreturn]] void AwaitChild(int pipe_fd, pid_t child) {
  std::string report;
  std::array<char, 512> piece{};
  while (true) {
    const ssize_t size = read(pipe_fd, piece.data(), piece.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    report.append(piece.data(), static_cast<size_t>(size));
  }
  if (report.empty()) {
    int status = 0;
    waitpid(child, &status, 0);
    std::cerr << "ckptfs: mount: the daemon ended before the mount was usable";
    if (WIFSIGNALED(status)) std::cerr << " (signal " << WTERMSIG(status) << ")";
    std::cerr << ". See the journal.\n";
    _exit(kMountFailed);
  }
  if (report[0] == 0) AwaitFirstAnswer(report.substr(1));
  std::cerr << report.substr(1);
  _exit(static_cast<unsigned char>(report[0]));
}

void WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = write(fd, text.data(), text.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;  // nobody waits any more
    text.remove_prefix(static_cast<size_t>(size));
  }
}

}  // namespace

Background::Background() {
  std::array<int, 2> ends{};
  CheckSyscall(pipe2(ends.data(), O_CLOEXEC), "make a pipe");
  UniqueFd reading(ends[0]);
  pipe_.Reset(ends[1]);
  std::cout.flush();
  const pid_t child = CheckSyscall(fork(), "start the daemon");
  if (child != 0) {
    pipe_.Reset();
    AwaitChild(reading.get(), child);
  }
  setsid();
  CheckSyscall(chdir("/"), "change to /");
}

void Background::ReportReady(const std::string& mountpoint) {
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null.valid()) {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null.get(), fd);
  }
  WriteAll(pipe_.get(), std::string(1, '\0') + mountpoint);
  pipe_.Reset();
}

void Background::ReportFailure(const std::string& line, int exit_status) {
  WriteAll(pipe_.get(), std::string(1, static_cast<char>(exit_status)) + line + "\n");
  pipe_.Reset();
}

}  // namespace ckptfs
