// What differs, and how large things are.
#include <fmt/format.h>

#include <cerrno>
#include <cstdint>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/low_priority.h"
#include "backend/compare/change_list.h"
#include "catalog/store/store_context.h"

namespace ckptfs {
namespace {

// A snapshot of a volume that is being written to, without a row, for the length of one comparison.
// On disk: a volume whose sidecar says "scratch", which recovery removes.
class ScratchSnapshot {
 public:
  // Of a live tree.
  ScratchSnapshot(StoreContext& store, int64_t workspace_id, const LiveHooks& hooks) {
    const OperationLocks::Hold operation = store.operations.Lock({workspace_id});
    const WorkspaceRecord workspace = store.Workspace(workspace_id);
    Prepare(store, "compare the live tree of " + workspace.name);
    const std::unique_ptr<LiveHold> hold = Hold(hooks, workspace_id);
    store.backend->Snapshot(workspace.volume, volume_->id());
    Failpoint("diff.after-snapshot");
  }
  // Of a kept state in which programs go on writing to files.
  ScratchSnapshot(StoreContext& store, const SnapshotRecord& kept) {
    const OperationLocks::Hold operation = store.operations.Lock({kept.workspace_id});
    Prepare(store, "compare with snapshot " + kept.name);
    store.backend->Snapshot(kept.volume, volume_->id());
  }
  ~ScratchSnapshot() {
    volume_.reset();  // never Committed: destroys it
  }
  ScratchSnapshot(const ScratchSnapshot&) = delete;
  ScratchSnapshot& operator=(const ScratchSnapshot&) = delete;

  const VolumeId& id() const { return volume_->id(); }

 private:
  void Prepare(StoreContext& store, const std::string& attempted) {
    store.RequireWritable(attempted);
    store.backend->RequireSpaceForNewVolume();
    Sidecar sidecar;
    sidecar.volume = VolumeId::Generate();
    volume_.emplace(store, sidecar);
    Failpoint("diff.after-sidecar");
  }

  std::optional<PreparedVolume> volume_;
};

// The volume of a snapshot, or a copy of what it is at this moment if it is still being written to.
class ReadOnlyState {
 public:
  ReadOnlyState(StoreContext& store, const SnapshotRecord& snapshot) : volume_(snapshot.volume) {
    store.RequireData(snapshot, "compare with snapshot " + snapshot.name);
    store.unsealed.SealIfQuiet(*store.backend, volume_);
    if (!store.unsealed.IsInWriting(volume_)) return;
    copy_.emplace(store, snapshot);
    volume_ = copy_->id();
  }

  const VolumeId& id() const { return volume_; }

 private:
  VolumeId volume_;
  std::optional<ScratchSnapshot> copy_;
};

}  // namespace

ChangeList Store::Diff(const DiffRequest& request, const LiveHooks& hooks, WorkLimits& limits) {
  StoreContext& store = *impl_;
  const ReadOnlyState older(store, store.Snapshot(request.older_snapshot_id));
  if (request.newer_snapshot_id) {
    const ReadOnlyState newer(store, store.Snapshot(*request.newer_snapshot_id));
    const LowPriority low;
    return store.backend->Changes(older.id(), newer.id(), limits, Extent::kAll);
  }
  ChangeList changes = [&] {
    const ScratchSnapshot live(store, request.workspace_id, hooks);
    const LowPriority low;
    return store.backend->Changes(older.id(), live.id(), limits, Extent::kAll);
  }();
  Failpoint("diff.after-destroy");
  return changes;
}

bool DiffersFromSnapshot(StoreContext& store, const SnapshotRecord& snapshot, const VolumeId& state,
                         size_t files_max, WorkLimits& limits) {
  if (snapshot.state != SnapshotState::kOk || store.unsealed.IsInWriting(snapshot.volume))
    return true;
  try {
    if (!store.backend->MayBeEqual(snapshot.volume, state, files_max, limits)) return true;
    store.unsealed.SealIfQuiet(*store.backend, snapshot.volume);
    store.unsealed.SealIfQuiet(*store.backend, state);
    return !store.backend->Changes(snapshot.volume, state, limits, Extent::kFirst).empty();
  } catch (const LimitError& error) {
    if (error.errno_value() != E2BIG) throw;
    return true;  // what is too large to be compared is kept
  }
}

bool Store::ChangedSinceParent(int64_t workspace_id, const LiveHooks& hooks, WorkLimits& limits) {
  StoreContext& store = *impl_;
  std::optional<SnapshotRecord> parent;
  try {
    // Not to race against a rollback, which puts another volume in the place of this one.
    const OperationLocks::Hold operation = store.operations.Lock({workspace_id});
    const WorkspaceRecord workspace = store.Workspace(workspace_id);
    if (workspace.parent_id) parent = store.catalog->FindSnapshot(*workspace.parent_id);
    if (!parent || parent->state != SnapshotState::kOk) return true;
    if (!store.IsReadOnly()) store.backend->Sync(workspace.volume);
    const uint64_t marker = workspace.parent_marker;
    if (marker != 0 && store.backend->ChangeMarker(workspace.volume) == marker) return false;
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    return true;  // its data is missing, which is no state of the parent's
  }
  const ScratchSnapshot live(store, workspace_id, hooks);
  return DiffersFromSnapshot(store, *parent, live.id(), SIZE_MAX, limits);
}

VolumeUsage Store::SnapshotUsage(int64_t snapshot_id) {
  StoreContext& store = *impl_;
  const SnapshotRecord snapshot = store.Snapshot(snapshot_id);
  store.RequireData(snapshot, "measure snapshot " + snapshot.name);
  return store.backend->Usage(snapshot.volume);
}

}  // namespace ckptfs
