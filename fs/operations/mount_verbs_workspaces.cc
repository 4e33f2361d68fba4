// Making, renaming and removing workspaces.
#include <cerrno>

#include "backend/base/error.h"
#include "backend/compare/diff_list.h"
#include "catalog/trees/names.h"
#include "fs/operations/mount_verbs.h"
#include "fs/operations/mount_verbs_internal.h"

namespace ckptfs {

WorkspaceRecord MountVerbs::CreateWorkspace(const std::string& name, const RootAttributes& root,
                                            const std::string& from) {
  return Logged("create workspace " + name, [&] {
    WorkspaceRecord record = store_.CreateWorkspace(name, root, from);
    WorkspacesChanged();
    return record;
  });
}

WorkspaceRecord MountVerbs::CommitWorkspace(PendingWorkspace& pending) {
  return Logged("import a workspace", [&] {
    WorkspaceRecord record = pending.Commit();
    WorkspacesChanged();
    return record;
  });
}

void MountVerbs::RemoveWorkspace(const WorkspaceRecord& record) {
  const std::string what = "remove workspace " + record.name;
  Logged(what, [&] {
    const auto workspace = nodes_.workspaces.Get(record.id);
    const auto pending = store_.BeginRemoval(record.id);
    {
      const auto frozen = Freeze(workspace);
      if (!IsEmpty(*workspace)) throw Error(ENOTEMPTY, what, "it holds files", "Remove them first");
      pending->Commit();
    }
    pending->Finish();
    nodes_.workspaces.Remove(record.id);
    ListsMoved(record);
    WorkspacesChanged();
  });
}

// Refuses while it is in use: writers would lose their data, and a mount of it would be dead.
void MountVerbs::RefuseInUse(const LiveWorkspace& workspace, const std::string& what) const {
  const ForeignMounts found = MountsOf(workspace.id());
  for (const std::vector<ForeignMount>& mounts : {found.inside, found.of_it}) {
    if (mounts.empty()) continue;
    throw Error(EBUSY, what, "it has to do with other mounts: " + Describe(mounts), "Unmount them");
  }
  busy_files_.AwaitReleases(workspace);
  busy_files_.RefuseOpenWriters(workspace, what, "Close them");
}

// From the commit on its name is not found, and processes with their working directory in it get ESTALE.
uint64_t MountVerbs::ForgetWorkspace(const ForgetRequest& request, WorkLimits& limits) {
  const int64_t workspace_id = request.workspace_id;
  const auto workspace = nodes_.workspaces.Get(workspace_id);
  const std::string what = "forget workspace " + nodes_.NameOf(workspace_id);
  if (request.dry_run) {
    RefuseInUse(*workspace, what);
    return store_.BeginForgetting(workspace_id)->snapshots().size();
  }
  return Logged(what, [&] {
    RefuseInUse(*workspace, what);
    std::optional<LiveMark> unchanged;
    if (request.unchanged_since) {
      unchanged = RequireUnchanged(workspace_id, *request.unchanged_since, what, limits);
    }
    const auto pending = store_.BeginForgetting(workspace_id);
    const auto record = store_.rows().FindWorkspace(workspace_id);
    const NodeId root = workspace->root_node();
    {
      const FreezeHold frozen(hold_parts_, workspace, /*becomes_snapshot=*/false);
      if (!busy_files_.InLive(*workspace).empty()) {
        throw Error(EBUSY, what, "files were opened for writing meanwhile", "Close them");
      }
      if (unchanged && MarkOfLive(workspace_id) != *unchanged) {
        throw Error(EBUSY, what, "something in it has just changed", "Try again");
      }
      pending->Commit();
      workspace->Switch(nullptr, /*old_number=*/0);
    }
    ForgetContent(*workspace, {});
    invalidation_.stale_names.Add(root, kMountRootNode, record->name);
    for (const SnapshotRecord& snapshot : pending->snapshots()) SnapshotDeleted(snapshot);
    nodes_.volumes.Drop(record->volume);
    nodes_.directory_fds.Drop(record->volume);
    nodes_.workspaces.Remove(workspace_id);
    ListsMoved(*record);
    WorkspacesChanged();
    pending->Finish();
    invalidation_.invalidator.Drain();
    return static_cast<uint64_t>(pending->snapshots().size());
  });
}

MountVerbs::LiveMark MountVerbs::MarkOfLive(int64_t workspace_id) const {
  const auto record = store_.rows().FindWorkspace(workspace_id);
  if (!record) throw Error(ENOENT, "look for changes in a workspace", "it is gone");
  store_.backend().SettleChanges(record->volume);
  return {record->volume, store_.backend().ChangeMarker(record->volume)};
}

MountVerbs::LiveMark MountVerbs::RequireUnchanged(int64_t workspace_id, int64_t snapshot_id,
                                                  const std::string& what, WorkLimits& limits) {
  LiveMark mark = MarkOfLive(workspace_id);
  const DiffList changes = Diff({.older_snapshot_id = snapshot_id,
                                 .newer_snapshot_id = std::nullopt,
                                 .workspace_id = workspace_id},
                                limits);
  if (changes.empty()) return mark;
  throw Error(
      EBUSY, what,
      "something in it has changed since " + NameOf(nodes_, SnapshotById(store_, snapshot_id)),
      "Look at it first: ckpt diff");
}

bool MountVerbs::IsEmpty(const LiveWorkspace& workspace) {
  if (!workspace.live()->volume) return true;
  bool empty = true;
  files_.List(workspace.root_node(), 0, 4096, false, [&](const ListedName& listed) {
    const std::string_view name = listed.name;
    empty = name == "." || name == ".." || name == kSnapshotsName;
    return empty;
  });
  return empty;
}

void MountVerbs::RenameWorkspace(const WorkspaceRecord& record, const std::string& new_name) {
  Logged("rename workspace " + record.name + " to " + new_name, [&] {
    store_.RenameWorkspace(record.id, new_name);
    ListsMoved(record);
    WorkspacesChanged();
  });
}

}  // namespace ckptfs
