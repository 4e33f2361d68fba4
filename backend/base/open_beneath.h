// Opening what others have made, by names that they have chosen.
#pragma once

#include <sys/types.h>

#include <string_view>

#include "backend/base/unique_fd.h"

namespace ckptfs {

enum class MountPoints { kCross, kRefuse };

// Opens `path` below a directory and nothing that leads out of it: ".." above the directory, symlinks (also
// as the last component, but with O_PATH) and the links of /proc are refused (openat2(2)). O_CLOEXEC and
// O_NOFOLLOW are added. Not valid, with errno, where it fails: ELOOP for a symlink, EXDEV for what leads out.
UniqueFd OpenBeneath(int directory_fd, const char* path, int flags, mode_t mode = 0,
                     MountPoints mount_points = MountPoints::kCross) noexcept;

// The same for a path of any length, which the kernel takes in pieces: only the last is opened with `flags`.
UniqueFd OpenLongBeneath(int directory_fd, std::string_view path, int flags) noexcept;

}  // namespace ckptfs
