// A store on dm-snapshot: DmHome with the mark dm-snapshot.json and volumes in cow/.
#pragma once

#include "backend/dm/dm_home.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// With a template of the size given by the options. Can be repeated after an interruption. Durable on return.
void CreateSnapshotHome(int store_fd, const BackendOptions& options);

// Removes unfinished files, and the devices of a dead process.
DmHome OpenSnapshotHome(int store_fd, const BackendOptions& options);

// For a store without volumes. Throws Error.
void RemoveSnapshotHome(int store_fd);

bool SnapshotHomeExists(int store_fd);

}  // namespace ckptfs
