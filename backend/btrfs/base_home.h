// btrfs-base: volumes directly on the btrfs filesystem that contains the store's directory.
#pragma once

#include <optional>
#include <string>

#include "backend/btrfs/home.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// Why this directory cannot hold volumes itself; empty if it can.
std::optional<std::string> BaseHomeObstacle(int store_fd);

// Creates volumes/ and meta/, and last the mark (an attribute of meta/) that records the filesystem. Without
// the mark, the creation was killed, and the next call completes it. Durable on return. Throws Error: EEXIST,
// EINVAL (not on btrfs; size=).
void CreateBaseHome(int store_fd, const BackendOptions& options);

// Opens them on a private mount of the store's directory. Throws Error with reason and remedy, also if they
// are on another filesystem than the one on which they were created: a copy made file by file has no
// subvolumes.
BtrfsHome OpenBaseHome(int store_fd, const BackendOptions& options);

// Removes volumes/, if it has no volume, and meta/. Throws Error.
void RemoveBaseHome(int store_fd);

// Whether there are volumes here, or the mark says that there were.
bool BaseHomeExists(int store_fd);

}  // namespace ckptfs
