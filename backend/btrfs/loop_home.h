// btrfs-loop: volumes in a btrfs filesystem of their own, inside the file volumes.img of the store.
#pragma once

#include "backend/btrfs/home.h"
#include "backend/interface/backend.h"

namespace ckptfs {

inline constexpr char kImageName[] = "volumes.img";

// mkfs.btrfs's own limit for one device with duplicated metadata.
inline constexpr uint64_t kMinImageBytes = uint64_t{109} << 20;

// Makes a sparse image with an empty home in it. Under its final name there is a complete image or
// nothing, whatever happens; a temporary that a crash left behind is cleared by the next call.
// Durable on return. Throws Error: EEXIST, EINVAL (size), ENOSPC, ENOENT (mkfs.btrfs missing).
void CreateLoopHome(int store_fd, const BackendOptions& options);

// Attaches and mounts the image, detached; grows it first if the options say so. Read-only if they
// say so or the image cannot be opened for writing. Throws Error with reason and mend.
BtrfsHome OpenLoopHome(int store_fd, const BackendOptions& options);

// Removes an image that nobody has used, and one that was being made. Throws Error.
void RemoveLoopHome(int store_fd);

// True if something stands under the image's name.
bool LoopHomeExists(int store_fd);

}  // namespace ckptfs
