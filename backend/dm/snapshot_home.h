// dm-snapshot: what lies in the store's directory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {

// Their directories, open:
//   dm-snapshot.json  says that this is such a store; made last
//   bases/            <uuid>.img, a template each, and <uuid>.json, what is known of it
//   cow/              <uuid>.cow, a volume each (backend/dm/volume_file.h)
//   meta/             sidecars
// Names that end in ".partial" are of what was being made when a process died.
struct SnapshotHome {
  UniqueFd store;
  UniqueFd bases;
  UniqueFd cow;
  UniqueFd meta;
  bool read_only = false;
  uint64_t default_size = 0;  // of templates, in bytes
};

// Why there cannot be one here; empty if there can.
std::optional<std::string> SnapshotHomeObstacle(int store_fd);

// Makes the directories, and the template that volumes are made from if nobody says otherwise (label
// "default", ext4, of the size that the options give). Can be repeated when it was cut short. Durable on
// return.
void CreateSnapshotHome(int store_fd, const BackendOptions& options);

// Removes what was being made, and the devices of a process that died.
SnapshotHome OpenSnapshotHome(int store_fd, const BackendOptions& options);

bool SnapshotHomeExists(int store_fd);

// What the UUIDs of this store's devices begin with. It tells stores of one machine apart, also copies.
std::string DevicePrefix(const SnapshotHome& home);

}  // namespace ckptfs
