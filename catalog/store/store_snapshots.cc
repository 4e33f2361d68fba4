// Deleting and editing snapshots.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <exception>
#include <optional>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/time.h"
#include "catalog/store/store_context.h"
#include "catalog/trees/names.h"

namespace ckptfs {

void RequireUnprotected(const SnapshotRecord& snapshot, const std::string& attempted,
                        const std::string& what) {
  if (snapshot.pinned) {
    throw Error(EBUSY, attempted, what + " is pinned", "Unpin it first: ckpt unpin");
  }
  if (!snapshot.holds.empty()) {
    throw Error(EBUSY, attempted, fmt::format("{} is held: {}", what, NamesOf(snapshot.holds)),
                "Release it first: ckpt release");
  }
}

void Store::DeleteSnapshot(int64_t snapshot_id, bool force) {
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot held = store.HoldSnapshot(snapshot_id);
  const SnapshotRecord& snapshot = held.snapshot;
  const std::string attempted = "delete snapshot " + snapshot.name;
  store.RequireWritable(attempted);
  RequireUnprotected(snapshot, attempted, "it");
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
    Catalog::Transaction transaction(*store.catalog);
    children = transaction.DeleteSnapshot(snapshot.id);
    transaction.AddTombstone(snapshot.volume, snapshot.view, NowNs());
    transaction.TouchSnapshots(snapshot.workspace_id, NowNs());
    store.Commit(transaction);
  });
  // On disk: no row, a tombstone, the volume. Recovery destroys volumes with a tombstone.
  Failpoint("delete.after-commit");
  store.Destroy(snapshot.volume);
  // On disk: as before, or without the volume, depending on the filesystem's next commit. The janitor waits
  // for that commit and drops the tombstone.
  Failpoint("delete.after-destroy");
  for (const VolumeId& child : children) store.RefreshSidecar(child);
}

// --- Edits of one row ---------------------------------------------------------------------------

namespace {

// Changes the row in one transaction, then its sidecar. On disk in between: the new row and the old sidecar,
// which recovery updates.
template <typename Edit>
void EditSnapshot(StoreContext& store, const SnapshotRecord& snapshot, const Edit& edit) {
  Failpoint("edit.before-commit");
  Catalog::Transaction transaction(*store.catalog);
  edit(transaction);
  store.Commit(transaction);
  Failpoint("edit.after-commit");
  store.RefreshSidecar(snapshot.volume);
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
  EditSnapshot(store, snapshot, [&](Catalog::Transaction& transaction) {
    transaction.RenameSnapshot(snapshot_id, new_name);
    transaction.TouchSnapshots(snapshot.workspace_id, NowNs());
  });
}

void Store::SetMessage(int64_t snapshot_id, const std::string& message) {
  CheckMessage(message);
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot held = store.HoldSnapshot(snapshot_id);
  const SnapshotRecord& snapshot = held.snapshot;
  store.RequireWritable("set the message of snapshot " + snapshot.name);
  EditSnapshot(store, snapshot, [&](Catalog::Transaction& transaction) {
    transaction.SetMessage(snapshot_id, message);
  });
}

void Store::SetMetadata(int64_t snapshot_id, const Metadata& metadata) {
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot held = store.HoldSnapshot(snapshot_id);
  const SnapshotRecord& snapshot = held.snapshot;
  store.RequireWritable("set the metadata of snapshot " + snapshot.name);
  EditSnapshot(store, snapshot, [&](Catalog::Transaction& transaction) {
    transaction.SetMetadata(snapshot_id, metadata.json());
  });
}

void Store::SetPinned(int64_t snapshot_id, bool pinned) {
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot held = store.HoldSnapshot(snapshot_id);
  const SnapshotRecord& snapshot = held.snapshot;
  store.RequireWritable("pin or unpin snapshot " + snapshot.name);
  if (snapshot.pinned == pinned) return;
  EditSnapshot(store, snapshot, [&](Catalog::Transaction& transaction) {
    transaction.SetPinned(snapshot_id, pinned);
  });
}

void Store::SetHold(int64_t snapshot_id, const std::string& tag, bool held) {
  CheckName("hold", tag);
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot here = store.HoldSnapshot(snapshot_id);
  const SnapshotRecord& snapshot = here.snapshot;
  const std::string attempted =
      fmt::format("{} snapshot {}", held ? "hold" : "release", snapshot.name);
  store.RequireWritable(attempted);
  std::vector<std::string> holds = snapshot.holds;
  const auto place = std::lower_bound(holds.begin(), holds.end(), tag);
  const bool was_held = place != holds.end() && *place == tag;
  if (!held && !was_held) throw Error(ENOENT, attempted, "it has no hold " + tag);
  if (held && was_held) return;
  if (held && holds.size() >= kHoldsMax) {
    throw Error(ENOSPC, attempted, fmt::format("it has {} holds already", kHoldsMax),
                "Release one first: ckpt release");
  }
  if (held) {
    holds.insert(place, tag);
  } else {
    holds.erase(place);
  }
  EditSnapshot(store, snapshot, [&](Catalog::Transaction& transaction) {
    transaction.SetHolds(snapshot_id, holds);
  });
}

}  // namespace ckptfs
