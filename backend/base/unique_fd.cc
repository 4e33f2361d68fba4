#include "backend/base/unique_fd.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "backend/base/warning.h"

namespace ckptfs {

void UniqueFd::Reset(int fd) noexcept {
  const int old = std::exchange(fd_, fd);
  if (old < 0 || close(old) == 0) return;
  const int error = errno;
  try {
    Warn(fmt::format("close of file descriptor {}: {}", old, std::strerror(error)));
  } catch (...) {  // no memory for the text: must not terminate from a destructor
  }
}

}  // namespace ckptfs
