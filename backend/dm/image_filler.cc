#include "backend/dm/image_filler.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {

void WriteImagePiece(int image_fd, uint64_t offset, const std::string& content) {
  constexpr char kWriting[] = "write a flattened template";
  if (content.find_first_not_of('\0') == std::string::npos) {
    CheckSyscall(fallocate(image_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           static_cast<off_t>(offset), static_cast<off_t>(content.size())),
                 kWriting);
    return;
  }
  const ssize_t written = CheckSyscall(
      pwrite(image_fd, content.data(), content.size(), static_cast<off_t>(offset)), kWriting);
  if (static_cast<size_t>(written) != content.size()) throw Error(ENOSPC, kWriting);
}

}  // namespace ckptfs
