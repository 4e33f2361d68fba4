#include "catalog/recovery/recovery.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <unordered_map>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/time.h"
#include "catalog/store/unlinked_directory.h"

namespace ckptfs {
namespace {

// One pass over catalog, volumes and sidecars. Each step mends one kind of unfinished work, and
// looks only at what is on disk: killed anywhere, the next pass does what is left.
class Recovery {
 public:
  explicit Recovery(StoreContext& store) : store_(store) {}
  void Run();

 private:
  void CompareGenerations();
  void RepeatDestructions();
  void AdoptCheckpoints();
  bool IsLostCheckpoint(const Sidecar& sidecar) const;
  bool Adopt(const Sidecar& sidecar);
  void JudgeVolumesWithoutRow();
  std::optional<Sidecar> ReadSidecar(const VolumeId& volume) const;  // empty also if damaged
  bool IsDebris(const VolumeId& volume) const;
  void SetStates();
  void SetState(Catalog::Transaction& transaction, const SnapshotVolume& snapshot);
  void SealSnapshots();
  void RemoveUnlinkedFiles();
  template <typename Action>
  void TellIfHindered(const std::string& what, const Action& action);
  void ReconcileSidecars();

  StoreContext& store_;
  uint64_t generation_ = 0;
  std::optional<uint64_t> seen_;  // of the store beside the catalog; empty if that is damaged
  bool may_mend_ = true;   // false: the store is read-only, and nothing of it is deleted or changed
  bool may_adopt_ = true;  // false: the catalog is older than the store
  std::unordered_map<VolumeId, bool> volumes_;  // and whether read-only
  std::vector<WorkspaceRecord> workspaces_;
  std::vector<SnapshotVolume> snapshots_;
  std::set<VolumeId> owned_;  // have a row or a tombstone
};

void Recovery::Run() {
  Failpoint("recovery.begin");
  CompareGenerations();
  SettleTemplates(store_);
  Failpoint("recovery.after-templates");
  for (const VolumeListing& volume : store_.backend->List()) {
    volumes_[volume.id] = volume.read_only;
  }
  workspaces_ = store_.catalog->ListWorkspaces();
  snapshots_ = store_.catalog->ListSnapshotVolumes();
  for (const WorkspaceRecord& workspace : workspaces_) owned_.insert(workspace.volume);
  for (const SnapshotVolume& snapshot : snapshots_) owned_.insert(snapshot.volume);

  RepeatDestructions();
  Failpoint("recovery.after-tombstones");
  AdoptCheckpoints();
  Failpoint("recovery.after-adoption");
  // Before anything else that raises the catalog's generation, by which debris is told.
  JudgeVolumesWithoutRow();
  Failpoint("recovery.after-debris");
  SetStates();
  Failpoint("recovery.after-states");
  SealSnapshots();
  Failpoint("recovery.after-seal");
  RemoveUnlinkedFiles();
  Failpoint("recovery.after-unlinked");
  if (!store_.Status().clean_start || store_.rebuilt()) ReconcileSidecars();
  Failpoint("recovery.after-sidecars");
}

// A store that has seen a transaction which its catalog has not: the catalog is an old one, put
// back from a backup. What it does not know of may be what its owner misses most.
void Recovery::CompareGenerations() {
  generation_ = store_.catalog->Generation();
  try {
    seen_ = store_.meta->Generation();
  } catch (const Error& error) {
    if (error.errno_value() != EUCLEAN) throw;
    store_.Warn(std::string(error.what()) + "; it is written anew at the next change");
  }
  if (seen_ && *seen_ > generation_) {
    may_adopt_ = false;
    store_.SetReadOnly(true);
    store_.Warn(fmt::format(
        "catalog.db is older than the store ({} changes behind; put back from a backup?): mounted "
        "read-only. Run ckpt fsck --repair, which adds what is missing from the sidecars",
        *seen_ - generation_));
  }
  may_mend_ = !store_.IsReadOnly();
}

// Deletions whose end was not seen: a destroyed volume can come back at a power cut.
void Recovery::RepeatDestructions() {
  for (const VolumeId& volume : store_.catalog->Tombstones()) {
    owned_.insert(volume);
    if (may_mend_) store_.Destroy(volume);
  }
}

// Checkpoints whose callers were told of them, or were about to be, and whose transactions the catalog
// has not: they are not durable at once, as snapshot and sidecar are (Store::Checkpoint). All other
// transactions make those before them durable. With -o ro they get rows in the copy of the catalog alone.
void Recovery::AdoptCheckpoints() {
  if (!may_adopt_) return;
  std::vector<Sidecar> found;
  for (const auto& [volume, read_only] : volumes_) {
    if (owned_.contains(volume)) continue;
    std::optional<Sidecar> sidecar = ReadSidecar(volume);
    if (sidecar && IsLostCheckpoint(*sidecar)) found.push_back(*std::move(sidecar));
  }
  // A checkpoint derives from an older one of its workspace.
  std::sort(found.begin(), found.end(), [](const Sidecar& a, const Sidecar& b) {
    return a.snapshot.created_ns < b.snapshot.created_ns;
  });
  bool adopted = false;
  for (const Sidecar& sidecar : found) adopted |= Adopt(sidecar);
  if (adopted) snapshots_ = store_.catalog->ListSnapshotVolumes();
}

// Operations on other workspaces may have had their transactions between its sidecar and its own, so the
// generation tells only that this one was to come. That it was lost, and not taken back, is known by its
// workspace: of one the checkpoints are made one after the other, and anything that takes a snapshot away, or
// gives the workspace another live tree, would have made it durable.
bool Recovery::IsLostCheckpoint(const Sidecar& sidecar) const {
  if (sidecar.role != SidecarRole::kSnapshot || sidecar.state != SidecarState::kPrepared)
    return false;
  const std::optional<WorkspaceRecord> workspace =
      store_.catalog->FindWorkspaceByView(sidecar.workspace.view, sidecar.workspace.created_ns);
  if (!workspace || workspace->volume != sidecar.workspace.volume) return false;
  const std::optional<SnapshotRecord> newest = store_.catalog->NewestSnapshot(workspace->id);
  return !newest || newest->created_ns < sidecar.snapshot.created_ns;
}

// Returns false if it could not be, which JudgeVolumesWithoutRow tells of.
bool Recovery::Adopt(const Sidecar& sidecar) {
  const std::optional<WorkspaceRecord> workspace =
      store_.catalog->FindWorkspaceByView(sidecar.workspace.view, sidecar.workspace.created_ns);
  if (!workspace) return false;
  SnapshotRecord snapshot = sidecar.snapshot;
  snapshot.volume = sidecar.volume;
  snapshot.workspace_id = workspace->id;
  if (!sidecar.parent.empty()) {
    const std::optional<SnapshotRecord> parent = store_.catalog->FindSnapshot(sidecar.parent);
    if (parent) snapshot.parent_id = parent->id;
  }
  try {
    const uint64_t marker = store_.backend->ChangeMarker(sidecar.volume);
    Catalog::Transaction transaction(*store_.catalog);
    InsertCheckpoint(transaction, snapshot, workspace->volume, marker);
    store_.Commit(transaction);
  } catch (const Error& error) {
    if (error.errno_value() != EEXIST) throw;
    return false;
  }
  spdlog::warn("{}: the checkpoint {}/{}, made just before the crash, is taken into the catalog",
               store_.options.path, workspace->name, snapshot.name);
  ++generation_;
  owned_.insert(sidecar.volume);
  return true;
}

// A volume without a row is either what a crashed operation had made before its transaction, or
// something that nobody here can explain. The second is never deleted.
void Recovery::JudgeVolumesWithoutRow() {
  std::vector<VolumeId> debris;
  for (const auto& [volume, read_only] : volumes_) {
    if (owned_.contains(volume)) continue;
    if (!IsDebris(volume)) {
      store_.Warn(fmt::format(
          "volume {} has no entry in the catalog: it is left alone. ckpt fsck tells more",
          volume.str()));
    } else if (may_mend_) {
      spdlog::warn("{}: volume {} of an operation that was cut short is removed",
                   store_.options.path, volume.str());
      debris.push_back(volume);
    }
  }
  if (debris.empty()) return;
  // If power goes and they come back, later transactions would make them look like volumes of lost rows.
  Catalog::Transaction transaction(*store_.catalog);
  for (const VolumeId& volume : debris) transaction.AddTombstone(volume, std::nullopt, NowNs());
  transaction.CommitUncounted();
  for (const VolumeId& volume : debris) store_.Destroy(volume);
}

std::optional<Sidecar> Recovery::ReadSidecar(const VolumeId& volume) const {
  try {
    return store_.meta->Read(volume);
  } catch (const Error& error) {
    if (error.errno_value() != EUCLEAN) throw;
    return std::nullopt;
  }
}

bool Recovery::IsDebris(const VolumeId& volume) const {
  // The catalog may have forgotten the row that this volume had.
  if (seen_ && *seen_ > generation_) return false;
  const std::optional<Sidecar> sidecar = ReadSidecar(volume);
  if (!sidecar) return false;
  if (sidecar->IsUnfinished()) return true;
  if (!seen_) return false;
  // Somebody may have been told that it is there.
  if (sidecar->role == SidecarRole::kSnapshot) return false;
  // The transaction that was to give it a row did not happen: it would be durable. Those of others may have
  // come before it.
  return sidecar->state == SidecarState::kPrepared && sidecar->generation <= generation_ + 1;
}

void Recovery::SetStates() {
  Catalog::Transaction transaction(*store_.catalog);
  for (const SnapshotVolume& snapshot : snapshots_) SetState(transaction, snapshot);
  // Found again by the next start: no news for the store.
  transaction.CommitUncounted();
  for (const WorkspaceRecord& workspace : workspaces_) {
    const auto volume = volumes_.find(workspace.volume);
    if (volume == volumes_.end()) {
      store_.Warn(fmt::format(
          "the data of workspace {} is missing: volume {} is gone. Roll it back to a snapshot, or "
          "bring the volume back and mount again",
          workspace.name, workspace.volume.str()));
    } else if (volume->second && !store_.options.backend_options.read_only) {
      store_.Warn(fmt::format("the volume {} of workspace {} is read-only. Run ckpt fsck",
                              workspace.volume.str(), workspace.name));
    }
  }
}

void Recovery::SetState(Catalog::Transaction& transaction, const SnapshotVolume& snapshot) {
  const bool there = volumes_.contains(snapshot.volume);
  const SnapshotState state = there ? SnapshotState::kOk : SnapshotState::kMissing;
  const std::optional<WorkspaceRecord> workspace =
      store_.catalog->FindWorkspace(snapshot.workspace_id);
  const std::string name = fmt::format("{}/{}", workspace ? workspace->name : "?", snapshot.name);
  if (!there) {
    store_.Warn(fmt::format(
        "the data of snapshot {} is missing: volume {} is gone. Bring the volume back and mount "
        "again, or remove the entry with ckpt delete --force",
        name, snapshot.volume.str()));
  }
  if (state == snapshot.state) return;
  if (there) spdlog::warn("{}: the data of snapshot {} is back", store_.options.path, name);
  transaction.SetState(snapshot.id, state);
}

// A rollback that was cut short after its transaction: the state before it is a snapshot already,
// and its volume still writable.
void Recovery::SealSnapshots() {
  if (!may_mend_) return;
  for (const SnapshotVolume& snapshot : snapshots_) {
    const auto volume = volumes_.find(snapshot.volume);
    if (volume != volumes_.end() && !volume->second) store_.Seal(snapshot.volume);
  }
}

// What was unlinked but open in a live tree nobody has open any more. Snapshots keep theirs.
void Recovery::RemoveUnlinkedFiles() {
  if (!may_mend_) return;
  for (const WorkspaceRecord& workspace : workspaces_) {
    const auto volume = volumes_.find(workspace.volume);
    if (volume == volumes_.end() || volume->second) continue;  // missing, or damaged: told above
    try {
      const uint64_t count = ClearUnlinkedFiles(*store_.backend->Open(workspace.volume));
      if (count == 0) continue;
      spdlog::info("{}: {} files of workspace {} that were unlinked but open are removed",
                   store_.options.path, count, workspace.name);
    } catch (const Error& error) {
      // They are not to be seen, and take space until the next start.
      store_.Warn(fmt::format("clean up workspace {}: {}", workspace.name, error.what()));
    }
  }
}

// Runs what the store is as good without, for now: who is to make room has to get in first, and so has who is
// to see to what stands where files should be.
template <typename Action>
void Recovery::TellIfHindered(const std::string& what, const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    const int number = error.errno_value();
    const bool is_full = number == ENOSPC || number == EDQUOT;
    if (!is_full && number != EISDIR && number != ENOTEMPTY) throw;
    spdlog::warn("{}: {}; fsck writes it when {}", what, error.what(),
                 is_full ? "there is room" : "the directory of that name is gone");
  }
}

// The catalog is right. Sidecars of rows that changed just before the crash follow now, and those
// of volumes that were never made, or are no more, go.
void Recovery::ReconcileSidecars() {
  if (!may_mend_) return;
  size_t written = 0;
  const auto write = [&](const Sidecar& right) {
    TellIfHindered("sidecar of volume " + right.volume.str(),
                   [&] { written += store_.sidecars->WriteIfStale(right) ? 1 : 0; });
  };
  for (const WorkspaceRecord& workspace : store_.catalog->ListWorkspaces()) {
    write(store_.sidecars->Describe(workspace));
  }
  for (const SnapshotVolume& snapshot : store_.catalog->ListSnapshotVolumes()) {
    const std::optional<SnapshotRecord> record = store_.catalog->FindSnapshot(snapshot.id);
    if (record) write(store_.sidecars->Describe(*record));
  }
  const MetaDirectory::Listing listing = store_.meta->List();
  for (const std::string& name : listing.leftovers) {
    TellIfHindered("the rest of a sidecar", [&] { store_.meta->RemoveLeftover(name); });
  }
  size_t removed = 0;
  for (const VolumeId& volume : listing.sidecars) {
    if (owned_.contains(volume) || volumes_.contains(volume) || store_.rebuilt()) continue;
    TellIfHindered("sidecar of volume " + volume.str(),
                   [&] { removed += store_.meta->Remove(volume) ? 1 : 0; });
  }
  const MetaDirectory::StoreFile right = store_.sidecars->DescribeStore();
  if (store_.meta->ReadStore() != right) {
    TellIfHindered("store.json", [&] { store_.meta->WriteStore(right); });
  }
  if (written + removed == 0) return;
  spdlog::warn("{}: {} sidecars were brought up to date and {} removed", store_.options.path,
               written, removed);
}

}  // namespace

void Recover(StoreContext& store) { Recovery(store).Run(); }

}  // namespace ckptfs
