// Whether two subvolumes may be equal, at a glance.
#pragma once

#include <cstddef>

#include "backend/base/work_limits.h"

namespace ckptfs {

// Backend::MayBeEqual of two subvolumes of one filesystem, given by their root directories. Looks only at
// files that have changed since `older` was as it is, in the order of their inode numbers, by path, and no
// further than to the first that differs for certain. What the filesystem has not put into its trees yet
// (before its next commit) may be overlooked. Throws Error. Needs CAP_SYS_ADMIN. Any thread.
bool SubvolumesMayBeEqual(int older_root_fd, int newer_root_fd, size_t files_max,
                          WorkLimits& limits);

}  // namespace ckptfs
