// Making snapshots.
#include <fmt/format.h>

#include <cerrno>
#include <optional>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/time.h"
#include "catalog/store/store_context.h"
#include "catalog/trees/names.h"

namespace ckptfs {
namespace {

// Refuses an invalid or taken name before anything is done.
std::string NameFor(const StoreContext& store, const WorkspaceRecord& workspace,
                    const CheckpointRequest& request, int64_t time_ns) {
  const std::string& wanted = request.name;
  if (wanted.empty()) {
    const std::string prefix = request.kind == SnapshotKind::kScheduled ? "auto-" : "ckpt-";
    return store.FreeSnapshotName(workspace.id, prefix + FormatForName(time_ns));
  }
  CheckName("snapshot", wanted);
  if (store.catalog->FindSnapshot(workspace.id, wanted)) {
    throw Error(EEXIST, "checkpoint workspace " + workspace.name,
                fmt::format("it has a snapshot {} already", wanted));
  }
  return wanted;
}

// For checkpoints: states kept by rollbacks have their own limit, which never makes a rollback fail.
void RequireBelowLimit(const StoreContext& store, const WorkspaceRecord& workspace,
                       const std::string& attempted) {
  const std::optional<uint64_t> limit = store.SettingsFor(workspace.id).Limit(kLimitSnapshots);
  if (!limit) return;
  const uint64_t count = store.catalog->CountCheckpoints(workspace.id);
  if (count < *limit) return;
  throw Error(EDQUOT, attempted,
              fmt::format("it has {} checkpoints, and {} is {}", count, kLimitSnapshots, *limit),
              "Delete some (ckpt delete, ckpt cleanup), or set another limit (ckpt config)");
}

Sidecar SnapshotSidecar(const StoreContext& store, const WorkspaceRecord& workspace,
                        const SnapshotRecord& snapshot) {
  Sidecar sidecar = store.sidecars->Describe(snapshot);
  sidecar.workspace = workspace;
  sidecar.state = SidecarState::kPrepared;
  return sidecar;
}

}  // namespace

void CheckMessage(std::string_view message) {
  constexpr char kAttempted[] = "set a snapshot's message";
  if (message.size() > kMaxMessageBytes) {
    throw Error(
        EINVAL, kAttempted,
        fmt::format("it has {} bytes; the maximum is {}", message.size(), kMaxMessageBytes));
  }
  if (message.find('\0') != std::string_view::npos) {
    throw Error(EINVAL, kAttempted, "it holds a NUL byte");
  }
  if (!IsValidUtf8(message)) throw Error(EINVAL, kAttempted, "it is not valid UTF-8");
}

int64_t InsertCheckpoint(Catalog::Transaction& transaction, SnapshotRecord snapshot,
                         const VolumeId& live, uint64_t marker) {
  // Not the parent from the beginning: that may be another workspace's snapshot, deleted since.
  snapshot.parent_id = transaction.LiveParent(snapshot.workspace_id);
  const int64_t id = transaction.Insert(snapshot);
  transaction.SetLive(snapshot.workspace_id, live, id, marker);
  transaction.TouchSnapshots(snapshot.workspace_id, snapshot.created_ns);
  return id;
}

namespace {

class NewCheckpoint final : public PendingCheckpoint {
 public:
  NewCheckpoint(StoreContext& store, int64_t workspace_id, const CheckpointRequest& request);

  void Take(const FrozenFacts& facts) override;
  SnapshotRecord Commit() override;

 private:
  std::shared_ptr<Volume> OpenLive() const;

  StoreContext& store_;
  std::optional<OperationLocks::Hold> operation_;
  const WorkspaceRecord workspace_;
  const std::string attempted_;
  std::optional<GivenViews::Number> view_;
  SnapshotRecord snapshot_;
  std::shared_ptr<Volume> live_;
  std::optional<StagedVolume> volume_;
  uint64_t marker_ = 0;
};

NewCheckpoint::NewCheckpoint(StoreContext& store, int64_t workspace_id,
                             const CheckpointRequest& request)
    : store_(store),
      operation_(store.operations.Lock({workspace_id})),
      workspace_(store.Workspace(workspace_id)),
      attempted_("checkpoint workspace " + workspace_.name) {
  store.RequireWritable(attempted_);
  RequireBelowLimit(store, workspace_, attempted_);
  view_.emplace(store.NextView(ViewUse::kSnapshot));
  snapshot_ = {.workspace_id = workspace_id,
               .name = NameFor(store, workspace_, request, NowNs()),
               .volume = VolumeId::Generate(),
               .message = request.message,
               .metadata = request.metadata.json(),
               .pinned = request.pinned,
               .parent_id = workspace_.parent_id,
               .kind = request.kind,
               .view = *view_};
  // A volume is only ever one state, so its UUID serves for both. A snapshot whose sidecar is lost is thus
  // still known by its UUID to those that derive from it.
  snapshot_.uuid = snapshot_.volume;
  RequireSpace(store, attempted_);
  live_ = OpenLive();
  // While programs go on: little is left to write while they wait.
  store.backend->WriteOut(workspace_.volume);
}

std::shared_ptr<Volume> NewCheckpoint::OpenLive() const {
  try {
    return store_.backend->Open(workspace_.volume);
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    throw Error(EIO, attempted_, "its data is missing", "Roll it back to a snapshot");
  }
}

void NewCheckpoint::Take(const FrozenFacts& facts) {
  snapshot_.unlinked_open = static_cast<int64_t>(facts.unlinked_open);
  snapshot_.moment_reason = facts.why_not_one_moment;
  snapshot_.moment =
      snapshot_.moment_reason.empty() ? SnapshotMoment::kOne : SnapshotMoment::kCrashConsistent;
  snapshot_.created_ns = store_.SnapshotTime(workspace_.id);
  snapshot_.root = ReadRootAttributes(*live_);
  Failpoint("checkpoint.before-sidecar");
  volume_.emplace(store_, SnapshotSidecar(store_, workspace_, snapshot_));
  // On disk: maybe a sidecar without a volume. Recovery removes it: nothing happened.
  Failpoint("checkpoint.after-sidecar");
  store_.backend->Snapshot(workspace_.volume, volume_->id());
  // On disk: volume and sidecar, both durable, and with them the checkpoint: recovery finds the volume and
  // makes its row from the sidecar. So the row itself need not be durable when this returns, which saves a
  // disk flush. The janitor flushes it before anything records the transaction beside the volumes, and other
  // transactions flush it with theirs.
  Failpoint("checkpoint.after-snapshot");
  // The snapshot's marker is that of the live tree at that moment. Asking the live tree now could include
  // later writes, since data bypasses the daemon.
  marker_ = store_.backend->ChangeMarker(volume_->id());
}

SnapshotRecord NewCheckpoint::Commit() {
  Failpoint("checkpoint.before-commit");
  {
    Catalog::Transaction transaction(*store_.catalog, Durability::kWithNextFlush);
    snapshot_.id = InsertCheckpoint(transaction, snapshot_, workspace_.volume, marker_);
    transaction.Commit();
  }
  // The sidecar still says "prepared", and the live tree's sidecar still names the previous snapshot as its
  // parent: both are updated soon, or by recovery.
  store_.janitor->Refresh(workspace_.volume);
  volume_->Committed();
  Failpoint("checkpoint.after-commit");
  SnapshotRecord made = store_.Snapshot(snapshot_.id);
  operation_.reset();
  return made;
}

}  // namespace

std::unique_ptr<PendingCheckpoint> Store::BeginCheckpoint(int64_t workspace_id,
                                                          const CheckpointRequest& request) {
  CheckMessage(request.message);
  return std::make_unique<NewCheckpoint>(*impl_, workspace_id, request);
}

// Without the operation's lock: the snapshot may be deleted meanwhile. On disk: after a crash before this,
// the open writers of the checkpoint are unknown, as when its row is made from the sidecar.
void Store::NoteOpenWriters(const SnapshotRecord& snapshot, const OpenWriterList& writers) {
  Catalog::Transaction transaction(*impl_->catalog, Durability::kWithNextFlush);
  // During this transaction there is no other.
  const auto now = impl_->catalog->FindSnapshot(snapshot.id);
  if (!now || now->volume != snapshot.volume) return;
  transaction.SetOpenWriters(snapshot.id, writers);
  // If it is lost nothing restores it, unlike the checkpoint, which recovery adopts. If it counted, the
  // catalog would then be behind, and debris would seem to belong to a transaction later than the next.
  transaction.CommitUncounted();
}

}  // namespace ckptfs
