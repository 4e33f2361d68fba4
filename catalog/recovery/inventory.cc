#include "catalog/recovery/inventory.h"

#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {

Inventory::Inventory(const Backend& backend, const MetaDirectory& meta) : meta_(&meta) {
  for (const VolumeListing& volume : backend.List()) volumes_[volume.id] = volume.read_only;
  try {
    store_generation_ = meta.Generation();
  } catch (const Error& error) {
    if (error.errno_value() != EUCLEAN) throw;
    generation_damage_ = error.what();
  }
}

Inventory::Inventory(const Backend& backend, const MetaDirectory& meta, const Catalog& catalog)
    : Inventory(backend, meta) {
  workspaces_ = catalog.ListWorkspaces();
  snapshots_ = catalog.ListSnapshotVolumes();
  tombstones_ = catalog.Tombstones();
  for (const WorkspaceRecord& workspace : workspaces_) owned_.insert(workspace.volume);
  for (const SnapshotVolume& snapshot : snapshots_) owned_.insert(snapshot.volume);
  owned_.insert(tombstones_.begin(), tombstones_.end());
}

std::optional<bool> Inventory::IsReadOnly(const VolumeId& volume) const {
  const auto found = volumes_.find(volume);
  return found == volumes_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<VolumeId> Inventory::Strangers() const {
  std::vector<VolumeId> strangers;
  for (const auto& [volume, read_only] : volumes_) {
    if (!IsOwned(volume)) strangers.push_back(volume);
  }
  return strangers;
}

void Inventory::Own(const VolumeId& volume, const Catalog& catalog) {
  owned_.insert(volume);
  snapshots_ = catalog.ListSnapshotVolumes();
}

Inventory::SidecarFound Inventory::ReadSidecar(const VolumeId& volume) const {
  try {
    return {.sidecar = meta_->Read(volume), .damage = {}};
  } catch (const Error& error) {
    if (error.errno_value() != EUCLEAN) throw;
    return {.sidecar = std::nullopt, .damage = error.why()};
  }
}

std::vector<VolumeId> Inventory::SidecarsOfNothing(const MetaDirectory::Listing& listing) const {
  std::vector<VolumeId> found;
  for (const VolumeId& volume : listing.sidecars) {
    if (!IsOwned(volume) && !Has(volume)) found.push_back(volume);
  }
  return found;
}

}  // namespace ckptfs
