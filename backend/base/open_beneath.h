// Opening files that others have created, by names that others have chosen.
#pragma once

#include <sys/types.h>

#include <string_view>

#include "backend/base/unique_fd.h"

namespace ckptfs {

enum class MountPoints { kCross, kRefuse };

// Opens `path` below a directory. Refuses whatever leads out of it: ".." above the directory, symlinks (also
// as the last component, except with O_PATH) and magic links in /proc (openat2(2)). Adds O_CLOEXEC and
// O_NOFOLLOW. On failure not valid, with errno: ELOOP for a symlink, EXDEV for a path that leads out.
UniqueFd OpenBeneath(int directory_fd, const char* path, int flags, mode_t mode = 0,
                     MountPoints mount_points = MountPoints::kCross) noexcept;

// The same for a path of any length, opened in pieces; `flags` apply only to the last.
UniqueFd OpenLongBeneath(int directory_fd, std::string_view path, int flags) noexcept;

}  // namespace ckptfs
