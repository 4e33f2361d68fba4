#include "backend/base/open_beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>

namespace ckptfs {

UniqueFd OpenBeneath(int directory_fd, const char* path, int flags, mode_t mode,
                     MountPoints mount_points) noexcept {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC | O_NOFOLLOW;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  if (mount_points == MountPoints::kRefuse) how.resolve |= RESOLVE_NO_XDEV;
  return UniqueFd(static_cast<int>(syscall(SYS_openat2, directory_fd, path, &how, sizeof(how))));
}

UniqueFd OpenLongBeneath(int directory_fd, std::string_view path, int flags) noexcept {
  UniqueFd directory;
  std::array<char, PATH_MAX> piece{};
  const auto open = [&](std::string_view part, int part_flags) {
    part.copy(piece.data(), part.size());
    piece.at(part.size()) = '\0';
    return OpenBeneath(directory.valid() ? directory.get() : directory_fd, piece.data(),
                       part_flags);
  };
  while (path.size() >= PATH_MAX) {
    const size_t slash = path.rfind('/', PATH_MAX - 1);
    if (slash == std::string_view::npos || slash == 0) {
      errno = ENAMETOOLONG;
      return UniqueFd();
    }
    directory = open(path.substr(0, slash), O_PATH | O_DIRECTORY);
    if (!directory.valid()) return UniqueFd();
    path.remove_prefix(slash + 1);
  }
  return open(path, flags);
}

}  // namespace ckptfs
