// A store on dm-snapshot: DmHome with the mark dm-snapshot.json and volumes in cow/.
#pragma once

#include "backend/dm/dm_home.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// With a template of the size that the options give. Can be repeated when it was cut short. Durable on
// return.
void CreateSnapshotHome(int store_fd, const BackendOptions& options);

// Removes what was being made, and the devices of a process that died.
DmHome OpenSnapshotHome(int store_fd, const BackendOptions& options);

// Of a store that has no volume. Throws Error.
void RemoveSnapshotHome(int store_fd);

bool SnapshotHomeExists(int store_fd);

}  // namespace ckptfs
