// The changes between two read-only btrfs subvolumes.
#pragma once

#include "backend/btrfs/path_bounds.h"
#include "backend/compare/diff_list.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// The changes that turn the read-only subvolume `older` into the read-only subvolume `newer` of the same
// filesystem, each given by a descriptor of its root directory. backend/compare/comparison.h specifies what
// is listed.
//
// Takes time proportional to the changes: the kernel compares the volumes' trees (StreamReplay interprets its
// stream), and each reported change is verified on both volumes. In some cases both trees are walked instead,
// which is slower, with the same result: if `bounds` says that a path might exceed PATH_MAX, which the kernel
// must not encounter; while a balance is running; or if the histories of the two have diverged so that the
// kernel confuses files. Throws Error: EINVAL if one is writable; errors of reading, and those of the limits.
//
// Needs CAP_SYS_ADMIN. Thread-safe, also for the same volumes at the same time. Meanwhile they cannot be
// deleted (EPERM).
DiffList CompareSubvolumes(int older_root_fd, int newer_root_fd, PathBounds& bounds,
                           WorkLimits& limits, Extent extent);

// The two methods by themselves. The first throws Error(EBADMSG) if its result is unreliable.
DiffList CompareSubvolumesBySend(int older_root_fd, int newer_root_fd, WorkLimits& limits,
                                 Extent extent);
DiffList CompareSubvolumesByWalk(int older_root_fd, int newer_root_fd, WorkLimits& limits,
                                 Extent extent);

}  // namespace ckptfs
