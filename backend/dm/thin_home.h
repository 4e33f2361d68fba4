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

// With a pool, and a template, of the size that the options give. Can be repeated when it was cut short.
// Durable on return.
void CreateThinHome(int store_fd, const BackendOptions& options);

// Removes what was being made, and the devices of a process that died; grows the pool's files if the
// options say so.
ThinHome OpenThinHome(int store_fd, const BackendOptions& options);

// Of a store that has no volume; devices of its pool are blank again. Throws Error.
// Devices that the store names are cleared only if `options` name them too: a store that somebody has made up
// can name those of anybody.
void RemoveThinHome(int store_fd, const BackendOptions& options);

bool ThinHomeExists(int store_fd);

}  // namespace ckptfs
