// What differs, and how large things are.
#include <fmt/format.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/time.h"
#include "catalog/store_context.h"

namespace ckptfs {
namespace {

// A snapshot of a live tree that has no row, for the length of one comparison. On disk: a volume
// whose sidecar says "scratch", which recovery removes.
class ScratchSnapshot {
 public:
  ScratchSnapshot(StoreContext& store, int64_t workspace_id, const LiveHooks& hooks) {
    const std::lock_guard lock(store.operations);
    const WorkspaceRecord workspace = store.Workspace(workspace_id);
    store.RequireWritable("compare the live tree of " + workspace.name);
    store.backend->RequireSpaceForNewVolume();
    Sidecar sidecar;
    sidecar.volume = VolumeId::Generate();
    volume_.emplace(store, sidecar);
    Failpoint("diff.after-sidecar");
    const std::unique_ptr<LiveHold> hold = Hold(hooks, workspace_id);
    store.backend->Snapshot(workspace.volume, volume_->id());
    Failpoint("diff.after-snapshot");
  }
  ~ScratchSnapshot() {
    volume_.reset();  // never Committed: destroys it
  }
  ScratchSnapshot(const ScratchSnapshot&) = delete;
  ScratchSnapshot& operator=(const ScratchSnapshot&) = delete;

  const VolumeId& id() const { return volume_->id(); }

 private:
  std::optional<PreparedVolume> volume_;
};

}  // namespace

std::vector<Change> Store::Diff(int64_t older_snapshot_id, std::optional<int64_t> newer_snapshot_id,
                                int64_t workspace_id, const LiveHooks& hooks) {
  StoreContext& store = *impl_;
  const SnapshotRecord older = store.Snapshot(older_snapshot_id);
  store.RequireData(older, "compare with snapshot " + older.name);
  if (newer_snapshot_id) {
    const SnapshotRecord newer = store.Snapshot(*newer_snapshot_id);
    store.RequireData(newer, "compare with snapshot " + newer.name);
    return store.backend->Changes(older.volume, newer.volume);
  }
  std::vector<Change> changes;
  {
    const ScratchSnapshot live(store, workspace_id, hooks);
    changes = store.backend->Changes(older.volume, live.id());
  }
  Failpoint("diff.after-destroy");
  return changes;
}

bool Store::ChangedSinceParent(int64_t workspace_id) {
  StoreContext& store = *impl_;
  // Not to race against a rollback, which puts another volume in the place of this one.
  const std::lock_guard lock(store.operations);
  const WorkspaceRecord workspace = store.Workspace(workspace_id);
  if (!workspace.parent_id || workspace.parent_marker == 0) return true;
  const std::optional<SnapshotRecord> parent = store.catalog->FindSnapshot(*workspace.parent_id);
  if (!parent || parent->state != SnapshotState::kOk) return true;
  try {
    if (!store.IsReadOnly()) store.backend->Sync(workspace.volume);
    return store.backend->ChangeMarker(workspace.volume) != workspace.parent_marker;
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    return true;  // its data is missing, which is no state of the parent's
  }
}

VolumeUsage Store::SnapshotUsage(int64_t snapshot_id) {
  StoreContext& store = *impl_;
  const SnapshotRecord snapshot = store.Snapshot(snapshot_id);
  store.RequireData(snapshot, "measure snapshot " + snapshot.name);
  const VolumeUsage usage = store.backend->Usage(snapshot.volume);
  if (store.IsReadOnly()) return usage;
  Catalog::Change change(*store.catalog);
  change.SetUsage(snapshot_id, usage.referenced_bytes, usage.exclusive_bytes, NowNs());
  change.CommitUncounted();
  return usage;
}

}  // namespace ckptfs
