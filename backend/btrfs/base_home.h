// btrfs-base: volumes straight on the btrfs filesystem on which the store's directory lies.
#pragma once

#include <optional>
#include <string>

#include "backend/btrfs/home.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// Why this directory cannot hold volumes itself; empty if it can.
std::optional<std::string> BaseHomeObstacle(int store_fd);

// Makes volumes/ and meta/, and last the mark (an attribute of meta/) that says on which filesystem
// they were made. Without that they are a creation which was killed, and the next call completes it.
// Durable on return. Throws Error: EEXIST, EINVAL (not on btrfs; size=).
void CreateBaseHome(int store_fd, const BackendOptions& options);

// Opens them on a private mount of the store's directory. Throws Error with reason and mend, also
// when they stand on another filesystem than the one they were made on: a copy made by file holds
// no subvolumes.
BtrfsHome OpenBaseHome(int store_fd, const BackendOptions& options);

// Removes volumes/, if there is none, and meta/. Throws Error.
void RemoveBaseHome(int store_fd);

// True if there are volumes here, or the mark says that there were.
bool BaseHomeExists(int store_fd);

}  // namespace ckptfs
