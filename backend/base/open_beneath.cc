#include "backend/base/open_beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

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

}  // namespace ckptfs
