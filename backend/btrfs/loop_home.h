// btrfs-loop: volumes in their own btrfs filesystem, inside the store's file volumes.img.
#pragma once

#include "backend/btrfs/home.h"
#include "backend/interface/backend.h"

namespace ckptfs {

inline constexpr char kImageName[] = "volumes.img";

// The limit of mkfs.btrfs for one device with duplicated metadata.
inline constexpr uint64_t kMinImageBytes = uint64_t{109} << 20;

// Creates a sparse image with an empty home in it. Under the final name there is always a complete image or
// nothing; the next call removes a temporary file left by a crash. Durable on return. Throws Error: EEXIST,
// EINVAL (size), ENOSPC, ENOENT (mkfs.btrfs missing).
void CreateLoopHome(int store_fd, const BackendOptions& options);

// Attaches and mounts the image, detached; grows it first if the options say so. Read-only if they say so, or
// if the image cannot be opened for writing. Throws Error with reason and remedy.
BtrfsHome OpenLoopHome(int store_fd, const BackendOptions& options);

// Removes an image that nobody has used, and one that was being created. Throws Error.
void RemoveLoopHome(int store_fd);

// Whether something exists under the image's name.
bool LoopHomeExists(int store_fd);

}  // namespace ckptfs
