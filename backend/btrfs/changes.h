// What turns one read-only btrfs subvolume into another.
#pragma once

#include "backend/btrfs/path_bounds.h"
#include "backend/compare/diff_list.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// The changes that turn the read-only subvolume `older` into the read-only subvolume `newer` of the
// same filesystem, each given by a descriptor of its root directory; backend/compare/comparison.h says
// what is listed, and how.
//
// Takes time proportional to the changes: the kernel compares the volumes' trees (StreamReplay
// tells how its stream is read), and each change it reports is verified on both volumes. Where that
// cannot be had (`bounds` says that a path might exceed PATH_MAX, which the kernel is not to meet; a balance
// is under way), or where the histories of the two
// have parted so that the kernel mistakes files for each other, both trees are walked: slower, the
// same result. Throws Error: EINVAL if one is writable; what reading gives, and what the limits say.
//
// Needs CAP_SYS_ADMIN. Any thread may call it, also at the same time for the same volumes, which
// cannot be deleted meanwhile (EPERM).
DiffList CompareSubvolumes(int older_root_fd, int newer_root_fd, PathBounds& bounds,
                           WorkLimits& limits, Extent extent);

// The two ways by themselves. The first throws Error(EBADMSG) where it is not to be relied on.
DiffList CompareSubvolumesBySend(int older_root_fd, int newer_root_fd, WorkLimits& limits,
                                 Extent extent);
DiffList CompareSubvolumesByWalk(int older_root_fd, int newer_root_fd, WorkLimits& limits,
                                 Extent extent);

}  // namespace ckptfs
