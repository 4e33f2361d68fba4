#include "backend/btrfs/home.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

UniqueFd OpenDirectory(int root_fd, const char* name, const std::string& place,
                       const std::string& mend) {
  UniqueFd fd(openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd.valid()) return fd;
  const int error = errno;
  const std::string attempted = fmt::format("open the volumes of the store in {}", place);
  if (error == ENOENT || error == ENOTDIR || error == ELOOP) {
    throw Error(ENOENT, attempted, fmt::format("it holds no directory {}/", name), mend);
  }
  throw Error(error, attempted);
}

}  // namespace

void OpenHomeDirectories(BtrfsHome* home, const std::string& place, const std::string& mend) {
  home->volumes = OpenDirectory(home->root.get(), kVolumesDirectory, place, mend);
  home->meta = OpenDirectory(home->root.get(), kMetaDirectory, place, mend);
}

}  // namespace ckptfs
