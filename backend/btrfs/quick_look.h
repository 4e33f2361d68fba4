// A quick check whether two subvolumes may be equal.
#pragma once

#include <cstddef>

#include "backend/base/work_limits.h"

namespace ckptfs {

// Backend::MayBeEqual for two subvolumes of one filesystem, given by their root directories. Examines only
// files changed since the state of `older`, in the order of their inode numbers, by path, up to the first
// that certainly differs. May miss changes that the filesystem has not put into its trees yet (before its
// next commit). Throws Error. Needs CAP_SYS_ADMIN. Thread-safe.
bool SubvolumesMayBeEqual(int older_root_fd, int newer_root_fd, size_t files_max,
                          WorkLimits& limits);

}  // namespace ckptfs
