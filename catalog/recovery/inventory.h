// What a store contains: volumes, sidecars and rows, and which of them belong together.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backend/interface/backend.h"
#include "catalog/db/catalog.h"
#include "catalog/sidecar/sidecar.h"

namespace ckptfs {

// Taken once, as the basis of recovery, rebuild and fsck. A volume is owned if a row or a tombstone of the
// catalog names it. Throws Error as the backend, the catalog and the sidecars do. Used by one thread.
class Inventory {
 public:
  // Reads the volumes and the store's generation; no volume is owned. All arguments must outlive this object.
  Inventory(const Backend& backend, const MetaDirectory& meta);
  // Also reads a catalog's rows and what they own.
  Inventory(const Backend& backend, const MetaDirectory& meta, const Catalog& catalog);

  // Each volume, and whether it is read-only.
  const std::map<VolumeId, bool>& volumes() const noexcept { return volumes_; }
  bool Has(const VolumeId& volume) const { return volumes_.contains(volume); }
  // Empty if there is no such volume.
  std::optional<bool> IsReadOnly(const VolumeId& volume) const;

  const std::vector<WorkspaceRecord>& workspaces() const noexcept { return workspaces_; }
  const std::vector<SnapshotVolume>& snapshots() const noexcept { return snapshots_; }
  const std::vector<VolumeId>& tombstones() const noexcept { return tombstones_; }
  bool IsOwned(const VolumeId& volume) const { return owned_.contains(volume); }
  // Volumes that no row and no tombstone names.
  std::vector<VolumeId> Strangers() const;
  // A snapshot has been given a row since construction.
  void Own(const VolumeId& volume, const Catalog& catalog);

  struct SidecarFound {
    std::optional<Sidecar> sidecar;  // empty: missing or damaged
    std::string damage;              // what is wrong with it; empty: nothing
  };
  // Reads it from disk each time.
  SidecarFound ReadSidecar(const VolumeId& volume) const;
  // The entries of `listing` that have neither a volume nor an owner.
  std::vector<VolumeId> SidecarsOfNothing(const MetaDirectory::Listing& listing) const;

  // The generation of the last transaction recorded in the store; empty if it cannot be read
  // (generation_damage).
  const std::optional<uint64_t>& store_generation() const noexcept { return store_generation_; }
  const std::string& generation_damage() const noexcept { return generation_damage_; }

 private:
  const MetaDirectory* meta_;  // not null
  std::map<VolumeId, bool> volumes_;
  std::vector<WorkspaceRecord> workspaces_;
  std::vector<SnapshotVolume> snapshots_;
  std::vector<VolumeId> tombstones_;
  std::set<VolumeId> owned_;
  std::optional<uint64_t> store_generation_;
  std::string generation_damage_;
};

}  // namespace ckptfs
