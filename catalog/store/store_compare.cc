// Comparisons and sizes.
#include <fmt/format.h>

#include <cerrno>
#include <cstdint>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/low_priority.h"
#include "backend/compare/diff_list.h"
#include "catalog/store/store_context.h"

namespace ckptfs {
namespace {

// A snapshot, without a row, of a volume that programs write to, for one comparison. On disk: a volume whose
// sidecar says "scratch", which recovery removes.
class ScratchSnapshot {
 public:
  ScratchSnapshot(StoreContext& store, const std::string& attempted) : store_(store) {
    store.RequireWritable(attempted);
    Sidecar sidecar;
    sidecar.volume = VolumeId::Generate();
    volume_.emplace(store, sidecar);
    Failpoint("diff.after-sidecar");
  }
  ScratchSnapshot(const ScratchSnapshot&) = delete;
  ScratchSnapshot& operator=(const ScratchSnapshot&) = delete;
  ~ScratchSnapshot() = default;  // never Committed, so the volume is destroyed

  // Requires the lock of its workspace.
  void Take(const VolumeId& source) { store_.backend->Snapshot(source, volume_->id()); }
  const VolumeId& id() const { return volume_->id(); }

 private:
  StoreContext& store_;
  std::optional<StagedVolume> volume_;
};

// The volume of a snapshot, or a copy of its present state if programs are still writing to it.
class ReadOnlyState {
 public:
  ReadOnlyState(StoreContext& store, const SnapshotRecord& snapshot) : volume_(snapshot.volume) {
    store.RequireData(snapshot, "compare with snapshot " + snapshot.name);
    store.unsealed.SealIfQuiet(*store.backend, volume_);
    if (!store.unsealed.IsInWriting(volume_)) return;
    const OperationLocks::Hold operation = store.operations.Lock({snapshot.workspace_id});
    copy_.emplace(store, "compare with snapshot " + snapshot.name);
    copy_->Take(snapshot.volume);
    volume_ = copy_->id();
  }

  const VolumeId& id() const { return volume_; }

 private:
  VolumeId volume_;
  std::optional<ScratchSnapshot> copy_;
};

// The live tree at the moment when it is copied.
class LiveCopy {
 public:
  // `operation`: the lock of that workspace.
  LiveCopy(StoreContext& store, const WorkspaceRecord& workspace, OperationLocks::Hold operation)
      : operation_(std::move(operation)),
        live_(workspace.volume),
        copy_(store, "compare the live tree of " + workspace.name) {}

  void Take() {
    copy_.Take(live_);
    operation_.reset();
    Failpoint("diff.after-snapshot");
  }
  const VolumeId& id() const { return copy_.id(); }

 private:
  std::optional<OperationLocks::Hold> operation_;
  const VolumeId live_;
  ScratchSnapshot copy_;  // destroyed first
};

class Comparison final : public PendingComparison {
 public:
  Comparison(StoreContext& store, SnapshotRecord older, SnapshotRecord newer)
      : store_(store), older_(std::move(older)), newer_(std::move(newer)) {}
  // Compares with the live tree of that workspace.
  Comparison(StoreContext& store, SnapshotRecord older, const WorkspaceRecord& workspace,
             OperationLocks::Hold operation)
      : store_(store), older_(std::move(older)) {
    live_.emplace(store, workspace, std::move(operation));
  }

  bool IsOfLiveTree() const override { return live_.has_value(); }
  void CopyLiveTree() override { live_->Take(); }

  DiffList Changes(WorkLimits& limits) override {
    const ReadOnlyState older(store_, older_);
    if (!live_) {
      const ReadOnlyState newer(store_, *newer_);
      return ChangesBetween(older.id(), newer.id(), limits);
    }
    DiffList changes = ChangesBetween(older.id(), live_->id(), limits);
    live_.reset();
    Failpoint("diff.after-destroy");
    return changes;
  }

  bool Differs(WorkLimits& limits) override {
    const VolumeId& newer = live_ ? live_->id() : newer_->volume;
    return DiffersFromSnapshot(store_, older_, newer, SIZE_MAX, limits);
  }

 private:
  DiffList ChangesBetween(const VolumeId& older, const VolumeId& newer, WorkLimits& limits) const {
    const LowPriority low;
    return store_.backend->Changes(older, newer, limits, Extent::kAll);
  }

  StoreContext& store_;
  const SnapshotRecord older_;
  const std::optional<SnapshotRecord> newer_;  // or:
  std::optional<LiveCopy> live_;
};

}  // namespace

std::unique_ptr<PendingComparison> Store::BeginComparison(const DiffRequest& request) {
  StoreContext& store = *impl_;
  SnapshotRecord older = store.Snapshot(request.older_snapshot_id);
  store.RequireData(older, "compare with snapshot " + older.name);
  if (request.newer_snapshot_id) {
    return std::make_unique<Comparison>(store, std::move(older),
                                        store.Snapshot(*request.newer_snapshot_id));
  }
  OperationLocks::Hold operation = store.operations.Lock({request.workspace_id});
  return std::make_unique<Comparison>(store, std::move(older),
                                      store.Workspace(request.workspace_id), std::move(operation));
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
    return true;  // too large to compare: kept
  }
}

ParentComparison Store::BeginParentComparison(int64_t workspace_id) {
  StoreContext& store = *impl_;
  // Excludes rollbacks, which replace the volume.
  OperationLocks::Hold operation = store.operations.Lock({workspace_id});
  const std::optional<WorkspaceRecord> workspace = store.catalog->FindWorkspace(workspace_id);
  std::optional<SnapshotRecord> parent;
  if (workspace && workspace->parent_id)
    parent = store.catalog->FindSnapshot(*workspace->parent_id);
  if (!parent || parent->state != SnapshotState::kOk) return {.changed = true, .pending = nullptr};
  try {
    if (!store.IsReadOnly()) store.backend->SettleChanges(workspace->volume);
    const uint64_t marker = workspace->parent_marker;
    if (marker != 0 && store.backend->ChangeMarker(workspace->volume) == marker)
      return {.changed = false, .pending = nullptr};
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    // Its data is missing, so it cannot equal the parent's.
    return {.changed = true, .pending = nullptr};
  }
  return {.changed = false,
          .pending = std::make_unique<Comparison>(store, *std::move(parent), *workspace,
                                                  std::move(operation))};
}

VolumeUsage Store::SnapshotUsage(int64_t snapshot_id) {
  StoreContext& store = *impl_;
  const SnapshotRecord snapshot = store.Snapshot(snapshot_id);
  store.RequireData(snapshot, "measure snapshot " + snapshot.name);
  return store.backend->Usage(snapshot.volume);
}

}  // namespace ckptfs
