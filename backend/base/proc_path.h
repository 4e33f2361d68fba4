// Names for open files.
#pragma once

#include <string>

namespace ckptfs {

// "/proc/self/fd/N": the name under which calls that take no O_PATH descriptor reach its file.
class ProcPath {
 public:
  explicit ProcPath(int fd) : text_("/proc/self/fd/" + std::to_string(fd)) {}
  const char* c_str() const noexcept { return text_.c_str(); }

 private:
  std::string text_;
};

// The path by which an open file can be reached now, as readlink(2) of that name gives it. Empty, with
// errno, where that fails.
std::string PathOfDescriptor(int fd);

}  // namespace ckptfs
