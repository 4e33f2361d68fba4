// Paths for open files.
#pragma once

#include <string>

namespace ckptfs {

// "/proc/self/fd/N": reaches the file of a descriptor in calls that take no O_PATH descriptor.
class ProcPath {
 public:
  explicit ProcPath(int fd) : text_("/proc/self/fd/" + std::to_string(fd)) {}
  const char* c_str() const noexcept { return text_.c_str(); }

 private:
  std::string text_;
};

// The present path of an open file, as readlink(2) of that name returns it. Empty, with errno, on failure.
std::string PathOfDescriptor(int fd);

}  // namespace ckptfs
