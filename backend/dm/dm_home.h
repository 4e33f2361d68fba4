// The directory of a store on device-mapper.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"
#include "backend/mount/loop_device.h"

namespace ckptfs {

// Its open directories:
//   bases/    a template each: <uuid>.img, and its description <uuid>.json
//   VOLUMES/  a volume each: <uuid>.volume (backend/dm/volume_file.h)
//   meta/     sidecars
// Files ending in ".partial" were unfinished when a process died.
struct DmHome {
  UniqueFd bases;
  UniqueFd volumes;
  UniqueFd meta;
  std::string volumes_name;  // of their directory, for messages
  bool read_only = false;
  uint64_t default_size = 0;                 // of templates, in bytes
  uint32_t sector_bytes = kLoopSectorBytes;  // of the storage below the volumes
};

// Why a store on device-mapper is not possible here; empty if it is.
std::optional<std::string> DmHomeObstacle(int store_fd);
// Throws Error ENODEV with that reason, and the name of the required kernel module.
void RequireDmHome(int store_fd, const std::string& module);

// A directory of such a store. ENOENT with the remedy if it is missing.
UniqueFd OpenDmDirectory(int store_fd, const std::string& name);

// Creates these directories, and the default template for volumes (label "default", ext4, `template_bytes`
// long). Can be repeated after an interruption: existing parts are reused or replaced. If it throws, it has
// removed what it created.
DmHome MakeDmHome(int store_fd, const std::string& volumes_name, uint64_t template_bytes);

// Whether that directory of the store contains volumes, or remains of volumes being destroyed. Then there is
// a store, even if its mark is gone.
bool HasDmVolumes(int store_fd, const std::string& volumes_name);

// Removes the directories of a store whose creation failed.
void RemoveUnfinishedHome(int store_fd, const std::vector<std::string>& names) noexcept;

// Removes the mark and everything else of a store without volumes. EEXIST if it has some.
void RemoveDmHome(int store_fd, const std::string& volumes_name, const std::string& mark_name);

// Opens the directories; the caller fills in the rest. ENOENT with the remedy if one is missing.
DmHome OpenDmHome(int store_fd, const std::string& volumes_name);

// Removes unfinished files, and the devices of a dead process.
void ClearDmHome(const DmHome& home);

// As Backend::Leftovers and Backend::RemoveLeftover.
std::vector<LeftoverFile> DmLeftovers(const DmHome& home);
bool RemoveDmLeftover(const DmHome& home, const std::string& name);

// The prefix of the UUIDs and names of this store's devices. It distinguishes the stores of one machine,
// including copies.
std::string DevicePrefix(const DmHome& home);

// The file in the store's directory that identifies its type.
struct StoreMark {
  uint64_t default_size = 0;
  // For a thin pool on devices; empty: in files of the store.
  std::string data_device;
  std::string metadata_device;
};
// Written last: without the mark there is no store yet. Durable on return.
void WriteStoreMark(int store_fd, const std::string& name, const StoreMark& mark);
// EUCLEAN, ENOTSUP.
StoreMark ReadStoreMark(int store_fd, const std::string& name);

}  // namespace ckptfs
