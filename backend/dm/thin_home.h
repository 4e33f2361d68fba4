// A store on dm-thin: DmHome with the mark dm-thin.json, volumes in thin/, and the pool's files in pool/.
#pragma once

#include <string>

#include "backend/dm/dm_home.h"
#include "backend/interface/backend.h"

namespace ckptfs {

struct ThinHome {
  DmHome home;
  UniqueFd pool;
  std::string data_device;  // as in ThinPoolPlace
  std::string metadata_device;
};

// With a pool and a template of the size given by the options. Can be repeated after an interruption. Durable
// on return.
void CreateThinHome(int store_fd, const BackendOptions& options);

// Removes unfinished files, and the devices of a dead process; grows the pool's files if the options say so.
ThinHome OpenThinHome(int store_fd, const BackendOptions& options);

// For a store without volumes; blanks the devices of its pool. Throws Error. Only devices that `options` name
// too are blanked: a forged store can name anybody's devices.
void RemoveThinHome(int store_fd, const BackendOptions& options);

bool ThinHomeExists(int store_fd);

}  // namespace ckptfs
