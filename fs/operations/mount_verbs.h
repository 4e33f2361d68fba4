// The verbs of one mount.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catalog/store/rollback_retention.h"
#include "fs/files/file_tree.h"
#include "fs/nodes/mount_context.h"
#include "fs/nodes/nodes.h"
#include "fs/open/open_inodes.h"
#include "fs/open/write_barrier.h"
#include "fs/operations/busy_files.h"
#include "fs/operations/invalidation.h"
#include "fs/operations/live_holds.h"
#include "fs/operations/settling_names.h"
#include "fs/operations/verbs.h"
#include "fs/operations/writer_notes.h"
#include "fs/processes/foreign_mounts.h"

namespace ckptfs {

// What a rename(2) is about to move in the kernel's dcache, and where to.
struct RenamePaths {
  SnapDir from = SnapDir::kRoot;  // the list in which the snapshot was named
  NodeId directory = 0;           // the parent of the new name
  std::string name;               // the new name
};

// Implements Verbs over a mount, and adds what only the directory tree needs.
//
// The steps of a rollback, and what others see at each:
//   1. Mounts inside the workspace and open writers are looked for: EBUSY.
//   2. The Store makes the new volume. Nothing is visible yet.
//   3. From here on, path walks into the live tree wait (SettlingNames).
//   4. The freeze lock of the workspace closes: changing operations wait, those in flight end. Files open
//      for writing are counted inside it, so no open for writing can slip by.
//   5. The catalog commits. After a crash from here on, the next mount serves the restored state.
//   6. Still closed: the workspace is switched to the new volume and slot.
//   7. The freeze lock opens. The invalidator drops attributes and listings of directories that processes
//      reach without a path walk; then the verb returns. The previous state becomes read-only soon, or, if
//      files are open for writing, when the last of them is closed (WriterWatch).
//   8. When the kernel has forgotten the names of the previous state, walks go on in the restored one.
// From the commit on, StaleNames handles names in the mount root and in lists that now mean something else.
class MountVerbs : public Verbs {
 public:
  MountVerbs(const MountContext& mount, Nodes& nodes, OpenInodes& open, Invalidation& invalidation,
             WriteBarrier& barrier, FileTree& files);
  ~MountVerbs() override;
  MountVerbs(const MountVerbs&) = delete;
  MountVerbs& operator=(const MountVerbs&) = delete;

  Store& store() noexcept override { return store_; }
  const std::string& mountpoint() const noexcept override { return mount_.options.mountpoint; }

  WorkspaceRecord CreateWorkspace(const std::string& name, const RootAttributes& root,
                                  const std::string& from) override;
  WorkspaceRecord CommitWorkspace(PendingWorkspace& pending) override;
  SnapshotRecord Checkpoint(int64_t workspace_id, const CheckpointRequest& request) override;
  void DeleteSnapshot(int64_t snapshot_id, bool force) override;
  void SetPinned(int64_t snapshot_id, bool pinned) override;
  void SetHold(int64_t snapshot_id, const std::string& tag, bool held) override;
  void SetMessage(int64_t snapshot_id, const std::string& message) override;
  void SetMetadata(int64_t snapshot_id, const Metadata& metadata) override;
  std::vector<std::string> RemoveUnprotected(int64_t snapshot_id) override;
  void SetSetting(std::optional<int64_t> workspace_id, const std::string& key,
                  const std::optional<std::string>& value) override;
  RolledBack RollbackInPlace(const RollbackRequest& request, bool force) override;
  WorkspaceRecord Fork(int64_t snapshot_id, const std::string& name) override {
    return Fork(snapshot_id, name, std::nullopt);
  }
  uint64_t ForgetWorkspace(const ForgetRequest& request, WorkLimits& limits) override;
  bool ChangedSinceParent(int64_t workspace_id, WorkLimits& limits) override;
  DiffList Diff(const DiffRequest& request, WorkLimits& limits) override;

  // A rename over the workspace's name: the kernel then declares the old root directory dead, so the root
  // gets a new node id.
  void RollbackByName(const RollbackRequest& request, const RenamePaths& places);
  // A rename over `.live`: an in-place rollback; the kernel declares the node of `.live` dead.
  void RollbackOntoLive(const RollbackRequest& request, const RenamePaths& places);
  // By rename(2), or, without `places`, by the control file.
  WorkspaceRecord Fork(int64_t snapshot_id, const std::string& name,
                       const std::optional<RenamePaths>& places);
  void RemoveWorkspace(const WorkspaceRecord& record);
  void RenameWorkspace(const WorkspaceRecord& record, const std::string& new_name);
  void RenameSnapshot(const SnapshotRecord& record, const std::string& new_name, SnapDir place);

  // When the list of workspaces last changed; shown as the mount root's mtime.
  int64_t WorkspacesChangedNs() const noexcept { return workspaces_changed_ns_; }

 private:
  // The rollback of one live tree, in steps.
  struct LiveRollback {
    RollbackRequest request;
    SnapshotRecord snapshot;
    std::shared_ptr<LiveWorkspace> workspace;
    bool detach = false;    // open writers go on writing to the kept state
    bool new_root = false;  // the root gets a new node id
    std::unique_ptr<SettlingNames> names;
    std::string what;

    bool exchange() const { return request.mode == ExchangeMode::kExchange; }
  };

  LiveRollback Begin(const RollbackRequest& request, bool force) const;
  ForeignMounts MountsOf(int64_t workspace_id) const;
  // Throws EBUSY if something is mounted in the workspace, unless `force`; then returns what is mounted.
  static std::vector<std::string> RefuseMountsInside(const ForeignMounts& found,
                                                     const std::string& what, bool force);
  static void RefuseBindMounts(const ForeignMounts& found, const std::string& what);
  void RefuseWriters(const LiveRollback& rollback) const;
  RollbackResult Run(LiveRollback& rollback);
  RollbackResult SwitchOver(LiveRollback& rollback, std::vector<NodeId>& stale);
  void Serve(LiveRollback& rollback, const RollbackResult& switched, std::vector<NodeId>& stale);
  void SwitchLive(const LiveRollback& rollback, const RollbackResult& result);
  std::shared_ptr<Volume> StateBefore(const RollbackResult& result) const;
  std::shared_ptr<Volume> OpenRestored(const VolumeId& id) const;
  void NamesChanged(const LiveRollback& rollback, const RenamePaths* places, NodeId replaced);
  void Revived(const VolumeId& volume);
  void ForgetContent(LiveWorkspace& workspace, std::vector<NodeId> stale);
  // Keeps the live tree still, to be copied, for the lifetime of the result. The caller already holds the
  // store's locks for it (catalog/store/phases.h).
  std::unique_ptr<ConsistentCut> Freeze(const std::shared_ptr<LiveWorkspace>& workspace);
  void RefuseInUse(const LiveWorkspace& workspace, const std::string& what) const;
  // Equal before and after if nothing of the live tree has changed in between. Writes out its data.
  using LiveMark = std::pair<VolumeId, uint64_t>;
  LiveMark MarkOfLive(int64_t workspace_id) const;
  // Throws EBUSY if the live tree differs from that snapshot. The mark is of a moment before the comparison.
  LiveMark RequireUnchanged(int64_t workspace_id, int64_t snapshot_id, const std::string& what,
                            WorkLimits& limits);
  bool IsEmpty(const LiveWorkspace& workspace);
  SnapshotRecord TakeCheckpoint(int64_t workspace_id, const CheckpointRequest& request);
  void NoteWriters(const SnapshotRecord& made, const WriterNotes::Noted& noted) noexcept;
  void CopyLiveTree(int64_t workspace_id, PendingComparison& pending);
  void WriteOutOpenFiles(int64_t workspace_id);
  // Files of the live tree of which the kernel may have pages dirtied through a mapping, which nobody else
  // can see until writeback. None with passthrough.
  std::vector<NodeId> FilesWithPages(const LiveWorkspace& workspace) const;
  void WorkspacesChanged();
  // The workspace's name is no longer the one in `record`: it was renamed or removed.
  void ListsMoved(const WorkspaceRecord& record);
  // The same for the snapshot's name in that list, when the kernel has not been told.
  void NameGone(const SnapshotRecord& record, SnapDir place);
  void SnapshotMoved(const SnapshotRecord& snapshot, const RenamePaths& places);
  void SnapshotDeleted(const SnapshotRecord& record);

  const MountContext& mount_;
  Store& store_;
  Nodes& nodes_;
  OpenInodes& open_;
  Invalidation& invalidation_;
  FileTree& files_;
  const HoldParts hold_parts_;
  std::atomic<int64_t> workspaces_changed_ns_{NowAtStart()};
  static int64_t NowAtStart();
  const BusyFiles busy_files_;
  WriterNotes writer_notes_;
  RollbackRetention rollback_retention_;  // last: its thread uses the members above
};

}  // namespace ckptfs
