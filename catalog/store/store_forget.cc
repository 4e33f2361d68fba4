// Removes a workspace with everything in it.
#include <fmt/format.h>

#include <cerrno>
#include <optional>
#include <set>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/time.h"
#include "catalog/store/store_context.h"

namespace ckptfs {
namespace {

constexpr size_t kTakenAtOnce = 100;

class WorkspaceForgetting final : public PendingForgetting {
 public:
  WorkspaceForgetting(StoreContext& store, int64_t workspace_id)
      : store_(store),
        operation_(store.operations.Lock({workspace_id})),
        workspace_(store.Workspace(workspace_id)),
        attempted_("forget workspace " + workspace_.name) {
    store.RequireWritable(attempted_);
    TakeSnapshots();
    RefuseProtected();
  }

  const std::vector<SnapshotRecord>& snapshots() const override { return snapshots_; }

  void Commit() override {
    Failpoint("forget-workspace.before-commit");
    store_.WithReserve([&] {
      Catalog::Transaction transaction(*store_.catalog);
      children_.clear();
      for (const SnapshotRecord& snapshot : snapshots_) {
        for (VolumeId& child : transaction.DeleteSnapshot(snapshot.id)) {
          children_.insert(std::move(child));
        }
        transaction.AddTombstone(snapshot.volume, snapshot.view, NowNs());
      }
      transaction.DeleteWorkspace(workspace_.id);
      transaction.AddTombstone(workspace_.volume, workspace_.view, NowNs());
      store_.Commit(transaction);
    });
    // On disk: no workspace, and tombstones for all its volumes, which recovery destroys.
    Failpoint("forget-workspace.after-commit");
  }

  void Finish() override {
    for (const SnapshotRecord& snapshot : snapshots_) {
      store_.backend->right_of_way().GiveWay(RightOfWay::kHeldMax);
      store_.Destroy(snapshot.volume);
    }
    store_.Destroy(workspace_.volume);
    Failpoint("forget-workspace.after-destroy");
    // For the children that remain: forks, and promoted snapshots.
    for (const VolumeId& child : children_) store_.RefreshSidecar(child);
    operation_.reset();
  }

 private:
  void TakeSnapshots() {
    for (;;) {
      const int64_t after_id = snapshots_.empty() ? 0 : snapshots_.back().id;
      auto page = store_.catalog->ListSnapshots(workspace_.id, after_id, kTakenAtOnce);
      if (page.empty()) return;
      for (SnapshotRecord& snapshot : page) {
        snapshots_.push_back({.id = snapshot.id,
                              .workspace_id = snapshot.workspace_id,
                              .name = std::move(snapshot.name),
                              .volume = snapshot.volume,
                              .pinned = snapshot.pinned,
                              .holds = std::move(snapshot.holds),
                              .view = snapshot.view});
      }
    }
  }

  void RefuseProtected() const {
    constexpr size_t kNamedMax = 5;
    size_t pinned = 0;
    std::string names;
    for (const SnapshotRecord& snapshot : snapshots_) {
      if (store_.unsealed.IsInWriting(snapshot.volume)) {
        throw Error(EBUSY, attempted_,
                    fmt::format("programs go on writing to {} since a rollback", snapshot.name),
                    "Close their files first");
      }
      if (!snapshot.holds.empty()) {
        RequireUnprotected(snapshot, attempted_, "its snapshot " + snapshot.name);
      }
      if (!snapshot.pinned) continue;
      if (pinned++ < kNamedMax) names += (names.empty() ? "" : ", ") + snapshot.name;
    }
    if (pinned == 0) return;
    throw Error(EBUSY, attempted_,
                fmt::format("{} of its snapshots {} pinned: {}{}", pinned,
                            pinned == 1 ? "is" : "are", names, pinned > kNamedMax ? ", ..." : ""),
                "Unpin them first: ckpt unpin");
  }

  StoreContext& store_;
  std::optional<OperationLocks::Hold> operation_;
  const WorkspaceRecord workspace_;
  const std::string attempted_;
  std::vector<SnapshotRecord> snapshots_;
  std::set<VolumeId> children_;
};

}  // namespace

std::unique_ptr<PendingForgetting> Store::BeginForgetting(int64_t workspace_id) {
  return std::make_unique<WorkspaceForgetting>(*impl_, workspace_id);
}

}  // namespace ckptfs
