// What a store holds: volumes, sidecars, rows, and which of them belong together.
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

// Taken once, for recovery, rebuild and fsck, each of which judges by it. A volume is owned if a row or a
// tombstone of the catalog names it. Throws Error as the backend, the catalog and the sidecars do. For one thread.
class Inventory {
 public:
  // Volumes and the store's generation; nothing is owned. All must outlive this.
  Inventory(const Backend& backend, const MetaDirectory& meta);
  // With the rows of a catalog, and what these own.
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
  // A snapshot has been given a row since.
  void Own(const VolumeId& volume, const Catalog& catalog);

  struct SidecarFound {
    std::optional<Sidecar> sidecar;  // empty: there is none, or it is damaged
    std::string damage;              // what is wrong with it; empty: nothing
  };
  // Reads it from the disk each time.
  SidecarFound ReadSidecar(const VolumeId& volume) const;
  // Of those in `listing`: neither volume nor owner.
  std::vector<VolumeId> SidecarsOfNothing(const MetaDirectory::Listing& listing) const;

  // That of the last transaction that the store was told of; empty if it cannot be read (generation_damage).
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
