#include "catalog/sidecar/sidecar_writer.h"

#include <spdlog/spdlog.h>

#include <set>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs {

Uuid SidecarWriter::UuidOf(std::optional<int64_t> snapshot_id) const {
  return snapshot_id ? catalog_.SnapshotUuid(*snapshot_id) : Uuid();
}

Sidecar SidecarWriter::Describe(const WorkspaceRecord& workspace) const {
  Sidecar sidecar;
  sidecar.volume = workspace.volume;
  sidecar.role = SidecarRole::kWorkspace;
  sidecar.state = SidecarState::kCommitted;
  sidecar.generation = catalog_.Generation();
  sidecar.workspace = workspace;
  sidecar.settings = catalog_.SettingsOf(workspace.id);
  sidecar.parent = UuidOf(workspace.parent_id);
  return sidecar;
}

Sidecar SidecarWriter::Describe(const SnapshotRecord& snapshot) const {
  Sidecar sidecar;
  sidecar.volume = snapshot.volume;
  sidecar.role = SidecarRole::kSnapshot;
  sidecar.state = SidecarState::kCommitted;
  sidecar.generation = catalog_.Generation();
  sidecar.workspace = catalog_.FindWorkspace(snapshot.workspace_id).value_or(WorkspaceRecord{});
  sidecar.snapshot = snapshot;
  sidecar.parent = UuidOf(snapshot.parent_id);
  return sidecar;
}

MetaDirectory::StoreFile SidecarWriter::DescribeStore() const {
  return {.facts = catalog_.Facts(),
          .mount_root = catalog_.MountRoot(),
          .settings = catalog_.SettingsOf(std::nullopt)};
}

bool SidecarWriter::RefreshStore() noexcept {
  const MutexLock lock(mutex_);
  return WriteStore();
}

bool SidecarWriter::WriteStore() noexcept {
  try {
    meta_.WriteStore(DescribeStore());
    is_store_late_ = false;
    return true;
  } catch (const std::exception& error) {
    // Once, not for each try.
    if (!is_store_late_) spdlog::warn("store.json: {}; it is tried again", error.what());
  }
  is_store_late_ = true;
  return false;
}

void SidecarWriter::Prepare(Sidecar sidecar) {
  sidecar.generation = catalog_.Generation() + 1;
  meta_.Create(sidecar);
}

void SidecarWriter::PrepareFilled(Sidecar sidecar) {
  sidecar.generation = catalog_.Generation() + 1;
  meta_.Write(sidecar);
}

bool SidecarWriter::Refresh(const VolumeId& volume) noexcept {
  const MutexLock lock(mutex_);
  return Write(volume) && WriteAllLate();
}

bool SidecarWriter::WriteLate() noexcept {
  const MutexLock lock(mutex_);
  return WriteAllLate();
}

bool SidecarWriter::WriteAllLate() noexcept {
  if (is_store_late_ && !WriteStore()) return false;
  while (!late_.empty()) {
    // The others would fail too, or are written the next time.
    if (!Write(*late_.begin())) return false;
  }
  return true;
}

bool SidecarWriter::Write(const VolumeId& volume) noexcept {
  try {
    if (const auto snapshot = catalog_.FindSnapshotByVolume(volume)) {
      meta_.Write(Describe(*snapshot));
    } else if (const auto workspace = catalog_.FindWorkspaceByVolume(volume)) {
      meta_.Write(Describe(*workspace));
    }
    late_.erase(VolumeId(volume));  // a copy: `volume` may be in the set
    return true;
  } catch (const std::exception& error) {
    // Once, not for each try.
    if (!late_.contains(volume)) {
      spdlog::warn("sidecar of volume {}: {}; it is tried again", volume.str(), error.what());
    }
  }
  try {
    late_.insert(volume);
  } catch (const std::exception&) {  // no memory: left to fsck
  }
  return false;
}

bool SidecarWriter::WriteIfStale(const Sidecar& right) {
  const MutexLock lock(mutex_);
  try {
    const std::optional<Sidecar> found = meta_.Read(right.volume);
    if (found && found->SameRow(right)) return false;
  } catch (const Error& error) {
    if (error.errno_value() != EUCLEAN) throw;
    spdlog::warn("sidecar of volume {} is damaged and is written anew: {}", right.volume.str(),
                 error.why());
  }
  meta_.Write(right);
  return true;
}

}  // namespace ckptfs
