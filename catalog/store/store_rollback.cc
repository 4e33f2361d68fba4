// Rollback, promotion and exchange.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/time.h"
#include "catalog/store/store_context.h"

namespace ckptfs {
namespace {

// A kept state with more touched files is kept without comparison: so a rollback after a search through a
// large tree takes at most some tenths of a second longer.
constexpr size_t kComparedFilesMax = 5000;
constexpr size_t kComparedBytesMax = size_t{16} << 20;

// One rollback. The new live tree is built first, invisibly; one transaction switches; nothing live is moved
// or deleted before that.
//
// An exchange differs in what the names mean afterwards. A UUID always stands for one state, so the
// snapshot's row is not rewritten. It is deleted, since its state is now the live one, and replaced by a new
// row of the same name, with the UUID and the volume of the previous state. Message, metadata and children
// belonged to the other state and are not carried over.
class RollbackJob final : public PendingRollback {
 public:
  // Makes the new live tree.
  RollbackJob(StoreContext& store, OperationLocks::Hold operation, const RollbackRequest& request);
  bool KeepsStateBefore(bool in_writing) override;
  RollbackResult Commit(uint64_t unlinked_open) override;
  RollbackResult Finish() override;

 private:
  bool exchange() const { return request_.mode == ExchangeMode::kExchange; }
  void CheckRequest() const;
  void OpenLive();
  void Clone();
  Sidecar FreshSidecar() const;
  bool LiveIsUnchanged() const;
  SnapshotRecord StateBefore(uint64_t unlinked_open);
  void Switch();
  void CommitSwitch();
  bool KeptIsItsParent() const noexcept;
  void DropKept();
  RollbackResult Result() const;

  StoreContext& store_;
  std::optional<OperationLocks::Hold> operation_;
  const RollbackRequest request_;
  const WorkspaceRecord workspace_;
  const SnapshotRecord snapshot_;
  const std::string attempted_;

  std::shared_ptr<Volume> live_;  // null: its data is missing
  std::optional<StagedVolume> fresh_;
  uint64_t fresh_marker_ = 0;
  bool in_writing_ = false;   // programs write to the previous state
  bool keeps_ = false;        // the previous state is kept
  WorkspaceRecord live_now_;  // after the commit
  std::optional<SnapshotRecord> kept_;
  std::optional<SnapshotRecord> equal_to_;
  std::optional<SnapshotRecord> dropped_;
  std::optional<GivenViews::Number> kept_view_;
  std::vector<VolumeId> stale_;  // whose sidecars are stale after the commit
};

RollbackJob::RollbackJob(StoreContext& store, OperationLocks::Hold operation,
                         const RollbackRequest& request)
    : store_(store),
      operation_(std::move(operation)),
      request_(request),
      workspace_(store.Workspace(request.workspace_id)),
      snapshot_(store.Snapshot(request.snapshot_id)),
      attempted_(fmt::format("roll back {} to {}", workspace_.name, snapshot_.name)) {
  CheckRequest();
  OpenLive();
  // Writes out dirty data while the live tree is still served; the commit caused by the clone makes it
  // durable.
  if (live_) store.backend->WriteOut(workspace_.volume);
  Failpoint("rollback.before-sidecar");
  fresh_.emplace(store, FreshSidecar());
  // On disk: maybe a sidecar without a volume. Recovery removes it.
  Failpoint("rollback.after-sidecar");
  Clone();
  // On disk: a volume and its sidecar, which names a transaction that has not happened. Recovery removes
  // both, and the live tree is unchanged. The same holds until the commit.
  Failpoint("rollback.after-clone");
}

void RollbackJob::CheckRequest() const {
  store_.RequireWritable(attempted_);
  store_.RequireData(snapshot_, attempted_);
  if (exchange() || !request_.even_in_writing) store_.RequireSettled(snapshot_, attempted_);
  if (!exchange()) return;
  if (snapshot_.workspace_id != workspace_.id) {
    throw Error(EPERM, attempted_, "an exchange needs a snapshot of the same workspace");
  }
  // An exchange would give its name to another state.
  RequireUnprotected(snapshot_, attempted_, "the snapshot");
}

void RollbackJob::OpenLive() {
  try {
    live_ = store_.backend->Open(workspace_.volume);
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    spdlog::warn("{}: the live data was missing, so no state is kept", attempted_);
  }
  if (!live_ && exchange()) {
    throw Error(EIO, attempted_, "the live data, which should get the snapshot's name, is missing",
                "Roll back without an exchange");
  }
}

Sidecar RollbackJob::FreshSidecar() const {
  Sidecar sidecar = store_.sidecars->Describe(workspace_);
  sidecar.volume = sidecar.workspace.volume = VolumeId::Generate();
  sidecar.workspace.parent_marker = 0;
  sidecar.state = SidecarState::kPrepared;
  sidecar.parent = snapshot_.uuid;
  return sidecar;
}

void RollbackJob::Clone() {
  // Must be checked before: later the writers may be gone, and their writes in between would be missing here.
  const bool in_writing = store_.unsealed.IsInWriting(snapshot_.volume);
  try {
    store_.backend->Clone(snapshot_.volume, fresh_->id());
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    Catalog::Transaction transaction(*store_.catalog);
    transaction.SetState(snapshot_.id, SnapshotState::kMissing);
    transaction.CommitUncounted();
    store_.RequireData(store_.Snapshot(snapshot_.id), attempted_);
  }
  RemoveUnlinked(store_, fresh_->id());
  // This copy is not what the snapshot will become: it must never be dropped as equal to it.
  fresh_marker_ = in_writing ? 0 : store_.backend->ChangeMarker(fresh_->id());
}

bool RollbackJob::KeepsStateBefore(bool in_writing) {
  if (!live_) return false;
  in_writing_ = in_writing;
  if (!in_writing_ && LiveIsUnchanged())
    equal_to_ = store_.catalog->FindSnapshot(*workspace_.parent_id);
  keeps_ = exchange() || in_writing_ || (store_.options.undo && !equal_to_);
  return keeps_;
}

RollbackResult RollbackJob::Commit(uint64_t unlinked_open) {
  if (keeps_) kept_ = StateBefore(unlinked_open);
  Failpoint("rollback.before-commit");
  Switch();
  // On disk: the restored live tree; the previous state is a snapshot whose volume is still writable
  // (recovery seals it), or has a tombstone (recovery destroys it). Sidecars are stale (recovery updates
  // them).
  Failpoint("rollback.after-commit");
  return Result();
}

RollbackResult RollbackJob::Result() const {
  return {.workspace = live_now_,
          .old_volume = workspace_.volume,
          .kept = kept_,
          .equal_to = exchange() ? std::nullopt : equal_to_,
          .dropped = dropped_,
          .in_writing = kept_ && in_writing_};
}

// Called while the live tree is frozen. Only "unchanged" needs a second look, and only that costs another
// pass over what was written since the first.
bool RollbackJob::LiveIsUnchanged() const {
  if (!workspace_.parent_id || workspace_.parent_marker == 0) return false;
  const std::optional<SnapshotRecord> parent = store_.catalog->FindSnapshot(*workspace_.parent_id);
  if (!parent || parent->state != SnapshotState::kOk) return false;
  if (store_.backend->ChangeMarker(workspace_.volume) != workspace_.parent_marker) return false;
  store_.backend->SettleChanges(workspace_.volume);
  return store_.backend->ChangeMarker(workspace_.volume) == workspace_.parent_marker;
}

SnapshotRecord RollbackJob::StateBefore(uint64_t unlinked_open) {
  kept_view_.emplace(store_.NextView(ViewUse::kSnapshot));
  SnapshotRecord state{.uuid = workspace_.volume,
                       .workspace_id = workspace_.id,
                       .volume = workspace_.volume,
                       .created_ns = store_.SnapshotTime(workspace_.id),
                       .parent_id = workspace_.parent_id,
                       .kind = SnapshotKind::kPreRollback,
                       .view = *kept_view_,
                       .root = ReadRootAttributes(*live_),
                       .unlinked_open = static_cast<int64_t>(unlinked_open),
                       // The tree itself, not a copy: it has everything ever written to it.
                       .moment = SnapshotMoment::kOne,
                       .moment_reason = {}};
  if (!exchange()) {
    if (state.parent_id) state.parent_name = store_.Snapshot(*state.parent_id).name;
    state.name =
        store_.FreeSnapshotName(workspace_.id, "pre-rollback-" + FormatForName(state.created_ns));
    return state;
  }
  state.name = snapshot_.name;
  state.kind = SnapshotKind::kManual;  // a user chose its name
  if (state.parent_id == snapshot_.id) state.parent_id = snapshot_.parent_id;
  if (state.parent_id) state.parent_name = store_.Snapshot(*state.parent_id).name;
  return state;
}

void RollbackJob::Switch() {
  // A rollback may be what frees space.
  store_.WithReserve([this] { CommitSwitch(); });
  // From here on nothing may fail: the rollback has happened.
  fresh_->Committed();
  if (kept_) store_.unsealed.Add(kept_->volume, in_writing_);
}

void RollbackJob::CommitSwitch() {
  Catalog::Transaction transaction(*store_.catalog);
  std::optional<int64_t> parent = snapshot_.id;
  uint64_t marker = fresh_marker_;
  if (exchange()) {
    stale_ = transaction.DeleteSnapshot(snapshot_.id);
    transaction.AddTombstone(snapshot_.volume, snapshot_.view, NowNs());
    parent = snapshot_.parent_id;
    marker = 0;  // equal to no snapshot
  }
  transaction.SetLive(workspace_.id, fresh_->id(), parent, marker);
  live_now_ = workspace_;
  live_now_.volume = fresh_->id();
  live_now_.parent_id = parent;
  live_now_.parent_marker = marker;
  if (kept_) {
    kept_->id = transaction.Insert(*kept_);
    transaction.TouchSnapshots(workspace_.id, kept_->created_ns);
  } else if (live_) {
    transaction.AddTombstone(workspace_.volume, std::nullopt,
                             NowNs());  // the workspace has its number
  }
  store_.Commit(transaction);
}

// Whether the kept state shows no difference from the snapshot that it came from, e.g. if files were only
// read. Only the caller waits for this: the tree is served again, and nobody can change the kept state any
// more. Open files without a name count as a difference.
bool RollbackJob::KeptIsItsParent() const noexcept {
  if (exchange() || in_writing_ || kept_->unlinked_open > 0 || !kept_->parent_id) return false;
  try {
    const std::optional<SnapshotRecord> parent = store_.catalog->FindSnapshot(*kept_->parent_id);
    FixedLimits limits(kComparedBytesMax);
    return parent &&
           !DiffersFromSnapshot(store_, *parent, kept_->volume, kComparedFilesMax, limits);
  } catch (const std::exception& error) {
    spdlog::warn("{}: the state before is kept, as it cannot be compared: {}", attempted_,
                 error.what());
    return false;
  }
}

// On disk: the kept state is a snapshot like any other until this deletes it.
void RollbackJob::DropKept() {
  try {
    Failpoint("rollback.before-drop");
    equal_to_ = store_.catalog->FindSnapshot(*kept_->parent_id);
    DeleteForGood(store_, *kept_);
  } catch (const std::exception& error) {
    // The rollback has happened all the same.
    spdlog::warn("{}: the previous state is kept although it equals {}: {}", attempted_,
                 kept_->parent_name, error.what());
    equal_to_.reset();
    return;
  }
  dropped_ = std::exchange(kept_, std::nullopt);
}

// The tree is served again.
//
// The kept state stays writable on disk until the janitor seals it, or as long as programs write to it. This
// is safe: nobody else can reach it for writing, since live nodes lead to the new volume or are stale. What
// was written before the rollback is durable: it was written out at the beginning, and the clone's commit
// came after.
RollbackResult RollbackJob::Finish() {
  Failpoint("rollback.after-switch");
  if (kept_ && KeptIsItsParent()) DropKept();
  if (dropped_) {
    // Its end is seen to.
  } else if (kept_) {
    if (!in_writing_) store_.janitor->Seal(kept_->volume);
  } else if (live_) {
    store_.Destroy(workspace_.volume);
  } else {
    store_.janitor->Reap(workspace_.volume);  // only its sidecar is left
  }
  if (exchange()) store_.Destroy(snapshot_.volume);
  Failpoint("rollback.after-destroy");
  if (kept_) store_.janitor->Refresh(kept_->volume);
  for (const VolumeId& volume : stale_) store_.janitor->Refresh(volume);
  operation_.reset();
  return Result();
}

// The workspace, that of the snapshot, and those of the snapshots from which the live tree and (in an
// exchange) the snapshot derive. Those snapshots must not be deleted while rows that refer to them are
// inserted, or while the live tree is dropped for being equal to one.
std::vector<int64_t> WorkspacesOf(const StoreContext& store, const RollbackRequest& request) {
  const SnapshotRecord snapshot = store.Snapshot(request.snapshot_id);
  std::vector<int64_t> workspaces{request.workspace_id, snapshot.workspace_id};
  const auto add_that_of = [&](std::optional<int64_t> parent_id) {
    const auto parent = parent_id ? store.catalog->FindSnapshot(*parent_id) : std::nullopt;
    if (parent) workspaces.push_back(parent->workspace_id);
  };
  add_that_of(store.Workspace(request.workspace_id).parent_id);
  if (request.mode == ExchangeMode::kExchange) add_that_of(snapshot.parent_id);
  return workspaces;
}

OperationLocks::Hold HoldFor(StoreContext& store, const RollbackRequest& request) {
  while (true) {
    const std::vector<int64_t> workspaces = WorkspacesOf(store, request);
    OperationLocks::Hold hold = store.operations.Lock(workspaces);
    if (WorkspacesOf(store, request) == workspaces) return hold;
  }
}

}  // namespace

std::unique_ptr<PendingRollback> Store::BeginRollback(const RollbackRequest& request) {
  return std::make_unique<RollbackJob>(*impl_, HoldFor(*impl_, request), request);
}

bool Store::IsInWriting(const VolumeId& kept) const { return impl_->unsealed.IsInWriting(kept); }

void Store::WritersGone(const VolumeId& kept) {
  impl_->unsealed.WritersGone(kept);
  impl_->janitor->Seal(kept);
}

}  // namespace ckptfs
