#include "backend/base/unique_fd.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ckptfs {

void UniqueFd::Reset(int fd) noexcept {
  const int old = std::exchange(fd_, fd);
  if (old < 0 || close(old) == 0) return;
  const int error = errno;
  try {
    spdlog::error("close of file descriptor {}: {}", old, std::strerror(error));
  } catch (...) {  // logging must not end the program from a destructor
  }
}

}  // namespace ckptfs
