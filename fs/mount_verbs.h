// The verbs of one mount.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "catalog/undo_limiter.h"
#include "fs/busy_files.h"
#include "fs/mount_context.h"
#include "fs/verbs.h"
#include "fs/writer_notes.h"

namespace ckptfs {

// Implements Verbs over a mount's context, and adds what only the directory tree asks for.
//
// The order within a rollback, and what others see at each point:
//   1. The Store makes the new volume. Nobody sees anything.
//   2. The gate of the workspace closes: changing operations wait, those in flight end. Files open
//      for writing are counted inside: no open for writing can slip by.
//   3. The catalog commits. A crash from here on: the next mount serves the restored state.
//   4. Still closed: the workspace is switched to the new volume and slot, the epoch is counted up.
//      Path walks that begin now look every name up anew and find the restored state; lookups in
//      flight that began before carry the old epoch and are looked up again before use.
//   5. The gate opens. The notifier drops attributes and listings of directories that processes hold
//      without a path walk; then the verb returns. The state before is read-only soon, or, with
//      files open for writing, when the last of those is closed (DetachedStates).
class MountVerbs : public Verbs {
 public:
  explicit MountVerbs(MountContext& mount);
  ~MountVerbs() override;
  MountVerbs(const MountVerbs&) = delete;
  MountVerbs& operator=(const MountVerbs&) = delete;

  Store& store() noexcept override { return mount_.store; }
  const std::string& mountpoint() const noexcept override { return mount_.options.mountpoint; }

  WorkspaceRecord CreateWorkspace(const std::string& name, const RootAttributes& root,
                                  const std::string& from) override;
  WorkspaceRecord CommitWorkspace(Store::PendingWorkspace& pending) override;
  SnapshotRecord Checkpoint(int64_t workspace_id, const CheckpointRequest& request) override;
  void DeleteSnapshot(int64_t snapshot_id, bool force) override;
  void SetPinned(int64_t snapshot_id, bool pinned) override;
  void SetMessage(int64_t snapshot_id, const std::string& message) override;
  void SetMetadata(int64_t snapshot_id, const std::string& json) override;
  RollbackResult RollbackInPlace(const RollbackRequest& request, bool force) override;
  WorkspaceRecord Fork(int64_t snapshot_id, const std::string& name) override;
  bool ChangedSinceParent(int64_t workspace_id) override;
  std::vector<Change> Diff(int64_t older_snapshot_id, std::optional<int64_t> newer_snapshot_id,
                           int64_t workspace_id) override;

  // A rename over the workspace's name: the kernel then declares the old root directory dead, so
  // the root gets a new node id.
  RollbackResult RollbackByName(const RollbackRequest& request);
  // A rename over `.live`: in place, and the kernel declares the node of `.live` dead.
  RollbackResult RollbackOntoLive(const RollbackRequest& request);
  void RemoveWorkspace(const WorkspaceRecord& record);
  void RenameWorkspace(const WorkspaceRecord& record, const std::string& new_name);
  void RenameSnapshot(const SnapshotRecord& record, const std::string& new_name);

  // When the list of workspaces last changed, as the mount root's mtime.
  int64_t WorkspacesChangedNs() const noexcept { return workspaces_changed_ns_; }

 private:
  enum class RootNode { kKeep, kRenew };

  RollbackResult Rollback(const RollbackRequest& request, bool force, RootNode root_node);
  void SwitchLive(LiveWorkspace& workspace, const SnapshotRecord& snapshot,
                  const RollbackResult& result, RootNode root_node);
  void Revived(const VolumeId& volume);
  void ForgetContent(LiveWorkspace& workspace, std::vector<NodeId> stale);
  void SettleListings(LiveWorkspace& workspace);
  LiveHooks Hooks();
  // Files of the live tree of which the kernel may have pages that a mapping has stored to, and which
  // nobody else can see until they are written back. None where data passes through.
  std::vector<NodeId> FilesWithPages(const LiveWorkspace& workspace) const;
  void WorkspacesChanged();
  void SnapshotDeleted(const SnapshotRecord& record);

  MountContext& mount_;
  std::atomic<int64_t> workspaces_changed_ns_{NowAtStart()};
  static int64_t NowAtStart();
  const BusyFiles busy_files_;
  WriterNotes writer_notes_;
  UndoLimiter undo_limiter_;  // last: its thread uses the above
};

}  // namespace ckptfs
