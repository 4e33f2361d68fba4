// Snapshots: made, deleted, edited.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <exception>
#include <optional>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/time.h"
#include "catalog/db/names.h"
#include "catalog/store/store_context.h"

namespace ckptfs {
namespace {

void CheckMessage(std::string_view message) {
  constexpr char kAttempted[] = "set a snapshot's message";
  if (message.size() > kMaxMessageBytes) {
    throw Error(
        EINVAL, kAttempted,
        fmt::format("it has {} bytes, and {} is the most", message.size(), kMaxMessageBytes));
  }
  if (message.find('\0') != std::string_view::npos) {
    throw Error(EINVAL, kAttempted, "it holds a NUL byte");
  }
  if (!IsValidUtf8(message)) throw Error(EINVAL, kAttempted, "it is not valid UTF-8");
}

// Refuses a name that is bad or taken before anything is done.
std::string NameFor(const StoreContext& store, const WorkspaceRecord& workspace,
                    const std::string& wanted, int64_t time_ns) {
  if (wanted.empty()) {
    return store.FreeSnapshotName(workspace.id, "ckpt-" + FormatForName(time_ns));
  }
  CheckName("snapshot", wanted);
  if (store.catalog->FindSnapshot(workspace.id, wanted)) {
    throw Error(EEXIST, "checkpoint workspace " + workspace.name,
                fmt::format("it has a snapshot {} already", wanted));
  }
  return wanted;
}

Sidecar SnapshotSidecar(const StoreContext& store, const WorkspaceRecord& workspace,
                        const SnapshotRecord& snapshot) {
  Sidecar sidecar = store.sidecars->Describe(snapshot);
  sidecar.workspace = workspace;
  sidecar.state = SidecarState::kPrepared;
  return sidecar;
}

}  // namespace

int64_t InsertCheckpoint(Catalog::Change& change, SnapshotRecord snapshot, const VolumeId& live,
                         uint64_t marker) {
  // Not as it was at the beginning: it may be another workspace's, and have been deleted since.
  snapshot.parent_id = change.LiveParent(snapshot.workspace_id);
  const int64_t id = change.Insert(snapshot);
  change.SetLive(snapshot.workspace_id, live, id, marker);
  change.TouchSnapshots(snapshot.workspace_id, snapshot.created_ns);
  return id;
}

namespace {

// Without the lock of the operations, as the search takes its time: others may delete the snapshot meanwhile.
// On disk: a crash before this leaves a checkpoint of which is not known who had what open, as it does
// where the row is made from the sidecar.
void NoteWriters(Catalog& catalog, const SnapshotRecord& snapshot, const WriterFinder& find) {
  const std::optional<OpenWriterList> writers = find(snapshot.volume);
  if (!writers) return;
  try {
    Catalog::Change change(catalog, Durability::kWithNextFlush);
    // While this change lasts there is no other.
    const auto now = catalog.FindSnapshot(snapshot.id);
    if (!now || now->volume != snapshot.volume) return;
    change.SetOpenWriters(snapshot.id, *writers);
    // Nothing makes up for it if it is lost, as adoption does for the checkpoint. If it were counted, the catalog
    // would be behind then, and debris would seem to be of a later transaction than the next.
    change.CommitUncounted();
  } catch (const std::exception& error) {  // the checkpoint itself is there
    spdlog::warn("note who has files open for writing: {}; the checkpoint does not tell",
                 error.what());
  }
}

}  // namespace

SnapshotRecord Store::Checkpoint(int64_t workspace_id, const CheckpointRequest& request,
                                 const LiveHooks& hooks) {
  CheckMessage(request.message);
  StoreContext& store = *impl_;
  std::optional<OperationLocks::Hold> operation = store.operations.Lock({workspace_id});
  const WorkspaceRecord workspace = store.Workspace(workspace_id);
  const std::string attempted = "checkpoint workspace " + workspace.name;
  store.RequireWritable(attempted);
  const GivenViews::Number view = store.NextView(ViewUse::kSnapshot);
  SnapshotRecord snapshot{.workspace_id = workspace_id,
                          .name = NameFor(store, workspace, request.name, NowNs()),
                          .volume = VolumeId::Generate(),
                          .message = request.message,
                          .metadata = request.metadata.json(),
                          .pinned = request.pinned,
                          .parent_id = workspace.parent_id,
                          .view = view};
  // A state has one volume for ever: its UUID serves for both, and a snapshot whose sidecar is lost
  // is still known by it to those that derive from it.
  snapshot.uuid = snapshot.volume;
  store.backend->RequireSpaceForNewVolume();
  const std::shared_ptr<Volume> live = [&] {
    try {
      return store.backend->Open(workspace.volume);
    } catch (const Error& error) {
      if (error.errno_value() != ENOENT) throw;
      throw Error(EIO, attempted, "its data is missing", "Roll it back to a snapshot");
    }
  }();

  // While all go on: what is left to be written while they wait is little.
  store.backend->WriteOut(workspace.volume);
  std::unique_ptr<LiveHold> hold = Hold(hooks, workspace_id);
  const WriterFinder find_writers = hooks.note_writers ? hooks.note_writers(workspace_id) : nullptr;
  if (hold) snapshot.unlinked_open = static_cast<int64_t>(hold->GatherUnlinked());
  if (hold) snapshot.moment_reason = hold->WhyNotOneMoment();
  snapshot.moment =
      snapshot.moment_reason.empty() ? SnapshotMoment::kOne : SnapshotMoment::kCrashConsistent;
  snapshot.created_ns = store.SnapshotTime(workspace_id);
  snapshot.root = ReadRootAttributes(*live);
  Failpoint("checkpoint.before-sidecar");
  PreparedVolume volume(store, SnapshotSidecar(store, workspace, snapshot));
  // On disk: perhaps a sidecar without a volume. Recovery removes it: nothing happened.
  Failpoint("checkpoint.after-sidecar");
  store.backend->Snapshot(workspace.volume, volume.id());
  // On disk: volume and sidecar, durable both, and with them the checkpoint: recovery finds the volume
  // and makes its row from the sidecar. So the row itself need not be durable when this returns, which
  // saves a flush of the disk; the janitor sees to it before anything tells the store of the
  // transaction, and other changes flush it with theirs.
  Failpoint("checkpoint.after-snapshot");
  // The marker of the snapshot is that of the live tree at that moment. Asked of the live tree now,
  // it could tell of writes that came after, as data does not pass through anybody's hands.
  const uint64_t marker = store.backend->ChangeMarker(volume.id());
  hold.reset();

  Failpoint("checkpoint.before-commit");
  {
    Catalog::Change change(*store.catalog, Durability::kWithNextFlush);
    snapshot.id = InsertCheckpoint(change, snapshot, workspace.volume, marker);
    change.Commit();
  }
  // The sidecar says "prepared" still, and the live tree's names the snapshot before this one as its
  // parent: written anew soon, or by recovery.
  store.janitor->Refresh(workspace.volume);
  volume.Committed();
  Failpoint("checkpoint.after-commit");
  SnapshotRecord made = store.Snapshot(snapshot.id);
  operation.reset();
  if (find_writers) NoteWriters(*store.catalog, made, find_writers);
  return made;
}

void Store::DeleteSnapshot(int64_t snapshot_id, bool force) {
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot held = store.HoldSnapshot(snapshot_id);
  const SnapshotRecord& snapshot = held.snapshot;
  const std::string attempted = "delete snapshot " + snapshot.name;
  store.RequireWritable(attempted);
  if (snapshot.pinned) {
    throw Error(EBUSY, attempted, "it is pinned", "Unpin it first: ckpt unpin");
  }
  if (!force) {
    store.RequireData(snapshot, attempted);
    if (store.unsealed.IsInWriting(snapshot.volume)) {
      throw Error(EBUSY, attempted, "programs go on writing to it since a rollback",
                  "Close their files first, or lose what they write: ckpt delete --force");
    }
  }
  DeleteForGood(store, snapshot);
}

void DeleteForGood(StoreContext& store, const SnapshotRecord& snapshot) {
  std::vector<VolumeId> children;
  Failpoint("delete.before-commit");
  store.WithReserve([&] {
    Catalog::Change change(*store.catalog);
    children = change.DeleteSnapshot(snapshot.id);
    change.AddTombstone(snapshot.volume, snapshot.view, NowNs());
    change.TouchSnapshots(snapshot.workspace_id, NowNs());
    store.Commit(change);
  });
  // On disk: no row, a tombstone, the volume. Recovery destroys what has a tombstone.
  Failpoint("delete.after-commit");
  store.Destroy(snapshot.volume);
  // On disk: as before, or without the volume, as the filesystem's next commit falls. The janitor
  // waits for that one and drops the tombstone.
  Failpoint("delete.after-destroy");
  for (const VolumeId& child : children) store.sidecars->Refresh(child);
}

// --- Edits of one row ---------------------------------------------------------------------------

namespace {

// Changes the row in one transaction, then its sidecar. On disk between the two: the new row and
// the old sidecar, which recovery writes anew.
template <typename Edit>
void EditSnapshot(StoreContext& store, const SnapshotRecord& snapshot, const Edit& edit) {
  Failpoint("edit.before-commit");
  Catalog::Change change(*store.catalog);
  edit(change);
  store.Commit(change);
  Failpoint("edit.after-commit");
  store.sidecars->Refresh(snapshot.volume);
  Failpoint("edit.after-sidecar");
}

}  // namespace

void Store::RenameSnapshot(int64_t snapshot_id, const std::string& new_name) {
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot held = store.HoldSnapshot(snapshot_id);
  const SnapshotRecord& snapshot = held.snapshot;
  if (snapshot.name == new_name) return;
  CheckName("snapshot", new_name);
  const std::string attempted = "rename snapshot " + snapshot.name;
  if (store.catalog->FindSnapshot(snapshot.workspace_id, new_name)) {
    throw Error(EEXIST, attempted, fmt::format("there is a snapshot {} already", new_name));
  }
  store.RequireWritable(attempted);
  EditSnapshot(store, snapshot, [&](Catalog::Change& change) {
    change.RenameSnapshot(snapshot_id, new_name);
    change.TouchSnapshots(snapshot.workspace_id, NowNs());
  });
}

void Store::SetMessage(int64_t snapshot_id, const std::string& message) {
  CheckMessage(message);
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot held = store.HoldSnapshot(snapshot_id);
  const SnapshotRecord& snapshot = held.snapshot;
  store.RequireWritable("set the message of snapshot " + snapshot.name);
  EditSnapshot(store, snapshot,
               [&](Catalog::Change& change) { change.SetMessage(snapshot_id, message); });
}

void Store::SetMetadata(int64_t snapshot_id, const Metadata& metadata) {
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot held = store.HoldSnapshot(snapshot_id);
  const SnapshotRecord& snapshot = held.snapshot;
  store.RequireWritable("set the metadata of snapshot " + snapshot.name);
  EditSnapshot(store, snapshot,
               [&](Catalog::Change& change) { change.SetMetadata(snapshot_id, metadata.json()); });
}

void Store::SetPinned(int64_t snapshot_id, bool pinned) {
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot held = store.HoldSnapshot(snapshot_id);
  const SnapshotRecord& snapshot = held.snapshot;
  store.RequireWritable("pin or unpin snapshot " + snapshot.name);
  if (snapshot.pinned == pinned) return;
  EditSnapshot(store, snapshot,
               [&](Catalog::Change& change) { change.SetPinned(snapshot_id, pinned); });
}

}  // namespace ckptfs
