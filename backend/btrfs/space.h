// How much can still be written.
#pragma once

#include <vector>

#include "backend/interface/backend.h"

namespace ckptfs {

// `fd` is any directory of the btrfs filesystem. `image_fd` is the file that contains it, or -1: a sparse
// image can take at most what its disk has left. `ballast` is the space taken by ImageSpace, which does not
// count as used.
SpaceInfo ReadSpace(int fd, int image_fd, uint64_t ballast);

// The same in each place that can run short: the filesystem, its metadata (which btrfs can run out of while it
// has free space for data), and the disk of its image.
std::vector<SpaceLevel> ReadSpaceLevels(int fd, int image_fd, uint64_t ballast);

}  // namespace ckptfs
