// How much can still be written, and whether that is enough for another volume.
#pragma once

#include <optional>
#include <string>

#include "backend/interface/backend.h"

namespace ckptfs {

// `fd` is any directory of the btrfs filesystem. `image_fd` is the file that contains it, or -1: a sparse
// image can take at most what its disk has left. `ballast` is the space taken by ImageSpace, which does not
// count as used.
SpaceInfo ReadSpace(int fd, int image_fd, uint64_t ballast);

// Which space is too short for another volume ("the image has 3 MiB left ..."); empty if none. The floors:
// FreeSpaceFloor, both in the filesystem and on the disk of its image; and room for metadata, which btrfs can
// run out of while it has free space for data.
std::optional<std::string> FindShortage(int fd, int image_fd, uint64_t ballast);

}  // namespace ckptfs
