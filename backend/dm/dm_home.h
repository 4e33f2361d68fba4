// What lies in the directory of a store on device-mapper.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "backend/mount/loop_device.h"

namespace ckptfs {

// Its directories, open:
//   bases/    <uuid>.img, a template each, and <uuid>.json, what is known of it
//   VOLUMES/  <uuid>.volume, a volume each (backend/dm/volume_file.h)
//   meta/     sidecars
// Names that end in ".partial" are of what was being made when a process died.
struct DmHome {
  UniqueFd bases;
  UniqueFd volumes;
  UniqueFd meta;
  std::string volumes_name;  // of their directory, for people
  bool read_only = false;
  uint64_t default_size = 0;                 // of templates, in bytes
  uint32_t sector_bytes = kLoopSectorBytes;  // of what volumes are kept on
};

// Why there cannot be a store on device-mapper here; empty if there can.
std::optional<std::string> DmHomeObstacle(int store_fd);
// Throws Error ENODEV with that, and with the kernel's module that is needed.
void RequireDmHome(int store_fd, const std::string& module);

// A directory of such a store. ENOENT with what to do if it is missing.
UniqueFd OpenDmDirectory(int store_fd, const std::string& name);

// Makes these directories, and the template that volumes are made from if nobody says otherwise (label
// "default", ext4, `template_bytes` long). Can be repeated when it was cut short: what was there is made
// use of, or made anew. What it has made is removed if it throws.
DmHome MakeDmHome(int store_fd, const std::string& volumes_name, uint64_t template_bytes);

// Whether there are volumes in that directory of the store, or what is left of some that are being
// destroyed. Then there is a store, also if its mark is gone.
bool HasDmVolumes(int store_fd, const std::string& volumes_name);

// Removes directories of a store that could not be made.
void RemoveUnfinishedHome(int store_fd, const std::vector<std::string>& names) noexcept;

// Removes the mark and all else of a store that has no volume. EEXIST if it has some.
void RemoveDmHome(int store_fd, const std::string& volumes_name, const std::string& mark_name);

// Opens them; the caller fills in the rest. ENOENT with what to do if one is missing.
DmHome OpenDmHome(int store_fd, const std::string& volumes_name);

// Removes what was being made, and the devices of a process that died.
void ClearDmHome(const DmHome& home);

// What the UUIDs and names of this store's devices begin with. It tells stores of one machine apart, also
// copies.
std::string DevicePrefix(const DmHome& home);

// The file in the store's directory that says of what kind it is.
struct StoreMark {
  uint64_t default_size = 0;
  // Of a thin pool that is on devices; empty: in files of the store.
  std::string data_device;
  std::string metadata_device;
};
// It is written last: without it there is no store yet. Durable on return.
void WriteStoreMark(int store_fd, const std::string& name, const StoreMark& mark);
// EUCLEAN, ENOTSUP.
StoreMark ReadStoreMark(int store_fd, const std::string& name);

}  // namespace ckptfs
