// How much can still be written, and whether that is enough for another volume.
#pragma once

#include <optional>
#include <string>

#include "backend/interface/backend.h"

namespace ckptfs {

// `fd` is any directory of the btrfs filesystem. `image_fd` is the file that holds it, or -1: a
// sparse image can take no more than its disk still gives. `ballast` is what ImageSpace has taken of the
// filesystem, which is nobody's use of it.
SpaceInfo ReadSpace(int fd, int image_fd, uint64_t ballast);

// What there is too little of for another volume ("the image has 3 MiB left ..."); empty if nothing.
// The floors: FreeSpaceFloor, both in the filesystem and on the disk of its image; and room for metadata, of which btrfs can run out while there is free space for data.
std::optional<std::string> FindShortage(int fd, int image_fd, uint64_t ballast);

}  // namespace ckptfs
