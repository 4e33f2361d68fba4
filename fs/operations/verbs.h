// The operations on workspaces and snapshots, for the directory tree and `ckpt`.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catalog/store/store.h"

namespace ckptfs {

struct ForgetRequest {
  int64_t workspace_id = 0;
  bool dry_run = false;  // only find out whether it would be refused
  // Only if the live tree is still equal to this snapshot; EBUSY otherwise.
  std::optional<int64_t> unchanged_since = std::nullopt;
};

struct RolledBack {
  RollbackResult result;
  std::vector<std::string> unmounted;  // mounts in the workspace that were removed
};

// Store operations together with their effects on the served trees: they freeze changing operations, switch a
// workspace to another volume and invalidate stale kernel caches. When a function returns, no path walk sees
// the previous state. Logs one line per operation with its duration. Thread-safe, but not callable from a
// request handler that holds a workspace's freeze lock. Throws Error like Store.
class Verbs {
 public:
  virtual ~Verbs() = default;

  virtual Store& store() noexcept = 0;
  // The mount point, as an absolute path in the daemon's mount namespace.
  virtual const std::string& mountpoint() const noexcept = 0;

  // `from`: the template's name, as in Store::CreateWorkspace.
  virtual WorkspaceRecord CreateWorkspace(const std::string& name, const RootAttributes& root,
                                          const std::string& from) = 0;
  // Commits a workspace that was filled before it became visible.
  virtual WorkspaceRecord CommitWorkspace(PendingWorkspace& pending) = 0;
  virtual SnapshotRecord Checkpoint(int64_t workspace_id, const CheckpointRequest& request) = 0;
  virtual void DeleteSnapshot(int64_t snapshot_id, bool force) = 0;
  virtual void SetPinned(int64_t snapshot_id, bool pinned) = 0;
  virtual void SetHold(int64_t snapshot_id, const std::string& tag, bool held) = 0;
  virtual void SetMessage(int64_t snapshot_id, const std::string& message) = 0;
  virtual void SetMetadata(int64_t snapshot_id, const Metadata& metadata) = 0;
  // As Store::RemoveUnprotected.
  virtual std::vector<std::string> RemoveUnprotected(int64_t snapshot_id) = 0;
  // As Store::SetSetting.
  virtual void SetSetting(std::optional<int64_t> workspace_id, const std::string& key,
                          const std::optional<std::string>& value) = 0;
  // In place: processes with their working directory in the workspace continue in the restored tree. With
  // `force`, open writers continue to write to the kept state, and mounts in the workspace are unmounted;
  // without, either is EBUSY, naming them. Waits for requests on the workspace, and for its other verbs.
  virtual RolledBack RollbackInPlace(const RollbackRequest& request, bool force) = 0;
  virtual WorkspaceRecord Fork(int64_t snapshot_id, const std::string& name) = 0;
  // Removes a workspace with all its snapshots; returns the number of snapshots. EBUSY if one is pinned, if
  // files are open for writing, or if it is mounted elsewhere.
  virtual uint64_t ForgetWorkspace(const ForgetRequest& request, WorkLimits& limits) = 0;
  virtual bool ChangedSinceParent(int64_t workspace_id, WorkLimits& limits) = 0;
  virtual DiffList Diff(const DiffRequest& request, WorkLimits& limits) = 0;
};

}  // namespace ckptfs
