#include "backend/base/proc_path.h"

#include <unistd.h>

#include <climits>

namespace ckptfs {

std::string PathOfDescriptor(int fd) {
  std::string path(PATH_MAX, '\0');
  const ssize_t length = readlink(ProcPath(fd).c_str(), path.data(), path.size());
  path.resize(length < 0 ? 0 : static_cast<size_t>(length));
  return path;
}

}  // namespace ckptfs
