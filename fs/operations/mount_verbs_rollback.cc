// MountVerbs: rollback, promotion and exchange.
#include "catalog/trees/names.h"
#include "fs/files/file_tree.h"
#include "fs/operations/mount_verbs.h"
#include "fs/operations/mount_verbs_internal.h"
#include "fs/processes/foreign_mounts.h"
#include "fs/processes/mount_owners.h"

namespace ckptfs {

// --- The verbs -----------------------------------------------------------------------------------

RolledBack MountVerbs::RollbackInPlace(const RollbackRequest& request, bool force) {
  LiveRollback rollback = Begin(request, force);
  RolledBack done;
  done.unmounted = RefuseMountsInside(MountsOf(request.workspace_id), rollback.what, force);
  done.result = Run(rollback);
  NamesChanged(rollback, nullptr, 0);
  if (!done.unmounted.empty()) rollback.workspace->AwaitWalks(0, LiveWorkspace::Holds::kNothing);
  return done;
}

void MountVerbs::RollbackOntoLive(const RollbackRequest& request, const RenamePaths& places) {
  LiveRollback rollback = Begin(request, /*force=*/false);
  RefuseMountsInside(MountsOf(request.workspace_id), rollback.what, /*force=*/false);
  const NodeId live = rollback.workspace->live_node(places.from);
  Run(rollback);
  rollback.workspace->RenewLiveNodes();
  NamesChanged(rollback, &places, live);
}

void MountVerbs::RollbackByName(const RollbackRequest& request, const RenamePaths& places) {
  LiveRollback rollback = Begin(request, /*force=*/false);
  rollback.new_root = true;
  const ForeignMounts mounts = MountsOf(request.workspace_id);
  RefuseMountsInside(mounts, rollback.what, /*force=*/false);
  RefuseBindMounts(mounts, rollback.what);
  const NodeId root = rollback.workspace->root_node();
  Run(rollback);
  NamesChanged(rollback, &places, root);
}

// --- Their steps -----------------------------------------------------------------------------------

MountVerbs::LiveRollback MountVerbs::Begin(const RollbackRequest& request, bool force) const {
  LiveRollback rollback{.request = request,
                        .snapshot = SnapshotById(store_, request.snapshot_id),
                        .workspace = nodes_.workspaces.Get(request.workspace_id),
                        .detach = force || mount_.options.detach_busy,
                        .names = nullptr,
                        .what = {}};
  rollback.request.even_in_writing = rollback.detach;
  rollback.what = "roll back " + nodes_.NameOf(request.workspace_id) + " to " +
                  NameOf(nodes_, rollback.snapshot);
  return rollback;
}

ForeignMounts MountVerbs::MountsOf(int64_t workspace_id) const {
  ForeignMounts found = FindForeignMounts(mount_.device, nodes_.NameOf(workspace_id));
  const std::shared_ptr<Volume> live = nodes_.workspaces.Get(workspace_id)->live()->volume;
  struct stat root {};
  if (live && fstat(live->root_fd(), &root) == 0) {
    DropMountsOfStrangers(found.inside, root);
    DropMountsOfStrangers(found.of_it, root);
  }
  return found;
}

std::vector<std::string> MountVerbs::RefuseMountsInside(const ForeignMounts& found,
                                                        const std::string& what, bool force) {
  const std::vector<ForeignMount>& mounts = found.inside;
  if (mounts.empty()) return {};
  if (!force) {
    throw Error(EBUSY, what, "something is mounted in it: " + Describe(mounts),
                "Unmount it, or use 'ckpt rollback --force', which takes it away");
  }
  spdlog::warn("{}: takes away what is mounted in it: {}", what, Describe(mounts));
  std::vector<std::string> targets;
  targets.reserve(mounts.size());
  for (const ForeignMount& mount : mounts) targets.push_back(mount.target);
  return targets;
}

// The kernel declares the root of those mounts dead.
void MountVerbs::RefuseBindMounts(const ForeignMounts& found, const std::string& what) {
  const std::vector<ForeignMount>& mounts = found.of_it;
  if (mounts.empty()) return;
  throw Error(EBUSY, what, "it is mounted elsewhere, and would be dead there: " + Describe(mounts),
              "Roll back in place: mv -T SNAPSHOT .snapshots/W/.live, or ckpt rollback");
}

void MountVerbs::RefuseWriters(const LiveRollback& rollback) const {
  if (!rollback.detach) {
    busy_files_.AwaitReleases(*rollback.workspace);
    busy_files_.RefuseOpenWriters(*rollback.workspace);  // before any volume is made
  }
  if (rollback.exchange()) {
    busy_files_.RefuseDetachedWriters(rollback.snapshot, rollback.what,
                                      "An exchange would take it from them. Close the files");
  } else if (!rollback.detach) {
    busy_files_.RefuseDetachedWriters(
        rollback.snapshot, rollback.what,
        "Close the files, or use 'ckpt rollback --force' to take it as it is "
        "at this moment");
  }
}

RollbackResult MountVerbs::Run(LiveRollback& rollback) {
  std::vector<NodeId> stale;  // nodes of which the kernel's cache is stale
  RollbackResult done = Logged(rollback.what, [&] {
    RefuseWriters(rollback);
    return SwitchOver(rollback, stale);
  });
  SettlingNames::Settle(std::move(rollback.names), StateBefore(done));
  ListsChanged(invalidation_.kernel, rollback.request.workspace_id);
  ForgetContent(*rollback.workspace, std::move(stale));
  rollback_retention_.Look(rollback.request.workspace_id);
  invalidation_.invalidator.Drain();
  return done;
}

// The phases of the store, interleaved with the changes to the served tree. catalog/store/store_rollback.cc
// documents what is on disk after each phase, mount_verbs.h what others see.
RollbackResult MountVerbs::SwitchOver(LiveRollback& rollback, std::vector<NodeId>& stale) {
  LiveWorkspace& workspace = *rollback.workspace;
  auto pending = store_.BeginRollback(rollback.request);
  rollback.names = std::make_unique<SettlingNames>(nodes_, invalidation_, mount_.can_expire_names,
                                                   rollback.workspace);
  std::shared_ptr<View> old;
  {
    auto frozen =
        std::make_unique<FreezeHold>(hold_parts_, rollback.workspace, /*becomes_snapshot=*/true);
    const bool in_writing = !busy_files_.InLive(workspace).empty();
    if (in_writing && !rollback.detach) {
      // Naming the writers scans all processes: not while the tree is frozen and the store locked.
      frozen.reset();
      pending.reset();
      busy_files_.RefuseOpenWriters(workspace);
      throw Error(EBUSY, rollback.what, "files were opened for writing meanwhile");
    }
    old = workspace.live()->files;
    const bool keep = pending->KeepsStateBefore(in_writing);
    Serve(rollback, pending->Commit(keep ? frozen->GatherUnlinked() : 0), stale);
  }
  RollbackResult done = pending->Finish();
  if (old && done.equal_to) old->SetTwin(done.equal_to->volume);
  nodes_.volumes.Drop(done.old_volume);
  if (done.dropped) SnapshotDeleted(*done.dropped);
  if (rollback.exchange()) nodes_.volumes.Drop(rollback.snapshot.volume);
  return done;
}

// Frozen and committed: from the thaw on, the restored state is served.
void MountVerbs::Serve(LiveRollback& rollback, const RollbackResult& switched,
                       std::vector<NodeId>& stale) {
  const auto live = rollback.workspace->live();
  if (live->files && switched.equal_to) live->files->SetTwin(switched.equal_to->volume);
  if (live->volume && !switched.kept && !switched.equal_to) rollback.names->Remember(*live->volume);
  if (switched.in_writing) stale = FilesWithPages(*rollback.workspace);
  SwitchLive(rollback, switched);
}

// Null if that state has been destroyed.
std::shared_ptr<Volume> MountVerbs::StateBefore(const RollbackResult& result) const {
  const auto& kept = result.kept ? result.kept : result.equal_to;
  if (!kept) return nullptr;
  try {
    return nodes_.volumes.Open(kept->volume);
  } catch (const Error& error) {
    spdlog::error("the state before a rollback: {}", error.what());
    return nullptr;
  }
}

std::shared_ptr<Volume> MountVerbs::OpenRestored(const VolumeId& id) const {
  try {
    return store_.backend().Open(id);
  } catch (const std::exception& error) {
    // The volume was made a moment ago. The catalog is right; a new mount will try again.
    spdlog::critical("the restored volume cannot be opened: {}", error.what());
    return nullptr;
  }
}

void MountVerbs::SwitchLive(const LiveRollback& rollback, const RollbackResult& result) {
  LiveWorkspace& workspace = *rollback.workspace;
  std::shared_ptr<Volume> volume = OpenRestored(result.workspace.volume);
  // Handles on files of the previous state show the inode numbers of the snapshot that keeps it.
  uint64_t old_number = 0;
  if (result.kept) old_number = result.kept->view;
  if (result.equal_to) old_number = result.equal_to->view;
  const std::shared_ptr<View> old = workspace.live()->files;
  try {
    if (old && result.in_writing) {
      open_.writer_watch.Add({.volume = result.old_volume,
                              .slot = old->slot,
                              .workspace_id = workspace.id(),
                              .view = result.kept->view,
                              .former_view = workspace.number()});
    }
    const bool foreign = workspace.IsForeign(rollback.snapshot);
    const auto begin_line = [&] {
      const auto newest = store_.rows().NewestSnapshot(workspace.id());
      workspace.BeginLine(newest ? newest->id : 0);
    };
    if (foreign) begin_line();
    workspace.Switch(std::move(volume), old_number, result.in_writing);
    if (foreign) begin_line();
  } catch (const std::exception& error) {
    // The catalog has the restored state. Writes to the previous one would not be in it, so none are allowed.
    spdlog::critical("the restored state can be served only after a new mount: {}", error.what());
    workspace.Switch(nullptr, old_number, result.in_writing);
  }
  // Not earlier: from here on, an open finds that its file was left behind. Without undo, the previous state
  // is about to be destroyed.
  if (old) files_.KeepAllReachable(old->slot);
  nodes_.directory_fds.Drop(result.old_volume);
  ++invalidation_.switches;
  if (rollback.new_root) workspace.RenewRoot();
  if (!old || old_number == 0) return;
  for (const NodeId node : open_.files.Nodes(old->slot)) {
    invalidation_.kernel.InvalidateAttributes(node);
  }
}

// A rename or an exchange has changed what its names stand for. `replaced`: the node that the kernel had
// under the new name.
void MountVerbs::NamesChanged(const LiveRollback& rollback, const RenamePaths* places,
                              NodeId replaced) {
  const SnapshotRecord& snapshot = rollback.snapshot;
  if (rollback.exchange()) {
    for (const SnapDir place : kSnapDirs) NameGone(snapshot, place);
    if (places != nullptr) {
      invalidation_.stale_names.Add(replaced, ListNode(snapshot.workspace_id, places->from),
                                    snapshot.name);
    }
  }
  if (places != nullptr) SnapshotMoved(snapshot, *places);
  if (rollback.exchange()) {  // its snapshot is gone, another has its name
    for (const SnapDir place : kSnapDirs) nodes_.slots.RenewSnapshot(snapshot.id, place);
  }
}

// --- What the kernel has without a path walk -------------------------------------------------------

std::vector<NodeId> MountVerbs::FilesWithPages(const LiveWorkspace& workspace) const {
  const auto live = workspace.live();
  if (!live->files) return {};
  std::vector<NodeId> nodes;
  for (const WriterHandle& writer : open_.files.Writers(live->files->slot)) {
    if (writer.through_daemon) nodes.push_back(writer.node);
  }
  return nodes;
}

// Cached data of the live tree's directories that the kernel uses without a path walk, and that of `stale`.
void MountVerbs::ForgetContent(LiveWorkspace& workspace, std::vector<NodeId> stale) {
  const std::vector<NodeId> directories = workspace.directories().All();
  stale.insert(stale.end(), directories.begin(), directories.end());
  stale.push_back(workspace.root_node());
  invalidation_.invalidator.InvalidateContent(std::move(stale));
}

// As after a rollback, but the files of the previous state are those of this one: the last writes may be
// missing, and open files answer EIO until they are closed. A new open must get the new filesystem's file, so
// all files get new node ids. (Mounts inside the workspace are dropped.)
void MountVerbs::Revived(const VolumeId& volume) {
  const auto workspace = nodes_.workspaces.WithVolume(volume);
  if (!workspace) return;
  auto names =
      std::make_unique<SettlingNames>(nodes_, invalidation_, mount_.can_expire_names, workspace);
  {
    const FreezeHold hold(hold_parts_, workspace, /*becomes_snapshot=*/false);
    const auto live = workspace->live();
    if (!live->volume || live->volume->id() != volume) return;  // rolled back meanwhile
    workspace->Switch(live->volume, /*old_number=*/0);
    nodes_.directory_fds.Drop(volume);
    ++invalidation_.switches;
  }
  SettlingNames::Settle(std::move(names), workspace->live()->volume);
  ForgetContent(*workspace, {});
  ListsChanged(invalidation_.kernel, workspace->id());
}

}  // namespace ckptfs
