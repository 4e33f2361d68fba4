#include "fs/operations/mount_verbs.h"

#include <spdlog/spdlog.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/text.h"
#include "backend/base/time.h"
#include "backend/compare/diff_list.h"
#include "catalog/trees/names.h"
#include "fs/files/file_tree.h"
#include "fs/operations/mount_verbs_internal.h"

namespace ckptfs {

MountVerbs::MountVerbs(const MountContext& mount, Nodes& nodes, OpenInodes& open,
                       Invalidation& invalidation, WriteBarrier& barrier, FileTree& files)
    : mount_(mount),
      store_(nodes.store),
      nodes_(nodes),
      open_(open),
      invalidation_(invalidation),
      files_(files),
      hold_parts_{.nodes = nodes, .open = open, .barrier = barrier, .files = files},
      busy_files_(mount, nodes, open),
      writer_notes_(mount, nodes, open.mapped),
      rollback_retention_(nodes.store,
                          [this](const SnapshotRecord& deleted) { SnapshotDeleted(deleted); }) {
  store_.backend().OnRevival([this](const VolumeId& volume) { Revived(volume); });
}

MountVerbs::~MountVerbs() { store_.backend().OnRevival({}); }

int64_t MountVerbs::NowAtStart() { return NowNs(); }

void MountVerbs::WorkspacesChanged() {
  workspaces_changed_ns_ = NowNs();
  for (const NodeId node : {kMountRootNode, kAllSnapshotsNode}) {
    invalidation_.kernel.InvalidateAttributes(node);
  }
}

// In the mount root itself the kernel updates the name, since the request came from there.
void MountVerbs::ListsMoved(const WorkspaceRecord& record) {
  invalidation_.stale_names.Add(ListNode(record.id, SnapDir::kRoot), kAllSnapshotsNode,
                                record.name);
}

std::unique_ptr<ConsistentCut> MountVerbs::Freeze(const std::shared_ptr<LiveWorkspace>& workspace) {
  // Done before the freeze lock closes: it takes long if much was written recently, and the writeback itself
  // has to pass the freeze lock.
  if (const auto live = workspace->live(); live->files) {
    open_.mapped.LookAtAll(live->files->slot);
    open_.pages.WriteBackAll(live->files->slot, FilesWithPages(*workspace));
  }
  auto frozen = std::make_unique<ConsistentCut>(hold_parts_, workspace);
  if (frozen->IsWorthAnotherTry()) {
    frozen.reset();  // all programs go on meanwhile
    frozen = std::make_unique<ConsistentCut>(hold_parts_, workspace);
  }
  return frozen;
}

// Done before the checkpoint itself. btrfs would write the files out too, but with a few threads for the
// whole filesystem, each taking one file at a time: a small file would wait for other users' large ones.
void MountVerbs::WriteOutOpenFiles(int64_t workspace_id) {
  const auto live = nodes_.workspaces.Get(workspace_id)->live();
  if (!live->files) return;
  files_.WriteOutEarly(open_.mapped.Writers(live->files->slot));
}

SnapshotRecord MountVerbs::Checkpoint(int64_t workspace_id, const CheckpointRequest& request) {
  // ScheduledCheckpoints logs its own: a failure that stays would otherwise be logged at each interval.
  if (request.kind == SnapshotKind::kScheduled) return TakeCheckpoint(workspace_id, request);
  return Logged("checkpoint " + nodes_.NameOf(workspace_id) + "/" + request.name,
                [&] { return TakeCheckpoint(workspace_id, request); });
}

// catalog/store/store_checkpoint.cc documents what is on disk after each phase.
SnapshotRecord MountVerbs::TakeCheckpoint(int64_t workspace_id, const CheckpointRequest& request) {
  WriteOutOpenFiles(workspace_id);
  const RightOfWay::Held first(store_.backend().right_of_way());
  const auto pending = store_.BeginCheckpoint(workspace_id, request);
  std::shared_ptr<const WriterNotes::Noted> noted;
  {
    const auto frozen = Freeze(nodes_.workspaces.Get(workspace_id));
    noted = writer_notes_.Take(workspace_id, frozen->writers());
    const uint64_t unlinked = frozen->GatherUnlinked();
    pending->Take({.unlinked_open = unlinked, .why_not_one_moment = frozen->WhyNotOneMoment()});
  }
  SnapshotRecord made = pending->Commit();
  if (noted) NoteWriters(made, *noted);
  if (made.moment != SnapshotMoment::kOne) {
    spdlog::warn("checkpoint {}/{} is {}, not one moment: {}", nodes_.NameOf(workspace_id),
                 made.name, ToString(made.moment), made.moment_reason);
  }
  ListsChanged(invalidation_.kernel, workspace_id);
  return made;
}

// The checkpoint exists whether or not this succeeds.
void MountVerbs::NoteWriters(const SnapshotRecord& made, const WriterNotes::Noted& noted) noexcept {
  try {
    store_.NoteOpenWriters(made, writer_notes_.Find(noted, made.volume));
  } catch (const std::exception& error) {
    spdlog::warn("note who has files open for writing: {}; the checkpoint does not tell",
                 error.what());
  }
}

void MountVerbs::DeleteSnapshot(int64_t snapshot_id, bool force) {
  const SnapshotRecord record = SnapshotById(store_, snapshot_id);
  Logged("delete " + NameOf(nodes_, record), [&] {
    if (!force) {
      busy_files_.RefuseDetachedWriters(
          record, "delete snapshot " + record.name,
          "Close the files, or lose what is written to them: ckpt delete --force");
    }
    store_.DeleteSnapshot(snapshot_id, force);
    SnapshotDeleted(record);
  });
}

void MountVerbs::SnapshotDeleted(const SnapshotRecord& record) {
  ListsChanged(invalidation_.kernel, record.workspace_id);
  for (const SnapDir place : kSnapDirs) NameGone(record, place);
  if (const auto slot = open_.writer_watch.Drop(record.volume)) nodes_.slots.Unpin(*slot);
  nodes_.volumes.Drop(record.volume);
  nodes_.directory_fds.Drop(record.volume);
  for (const SnapDir place : kSnapDirs) nodes_.slots.RenewSnapshot(record.id, place);
}

void MountVerbs::NameGone(const SnapshotRecord& record, SnapDir place) {
  const NodeId root = nodes_.slots.RootOf(record.id, place);
  if (root == 0) return;  // the kernel does not know it
  invalidation_.stale_names.Add(root, ListNode(record.workspace_id, place), record.name);
}

void MountVerbs::RenameSnapshot(const SnapshotRecord& record, const std::string& new_name,
                                SnapDir place) {
  Logged("rename " + NameOf(nodes_, record) + " to " + new_name, [&] {
    store_.RenameSnapshot(record.id, new_name);
    NameGone(record, place == SnapDir::kRoot ? SnapDir::kInner : SnapDir::kRoot);
    ListsChanged(invalidation_.kernel, record.workspace_id);
    // `latest` may name it, and the kernel caches symlink targets.
    invalidation_.invalidator.InvalidateContent(
        {MakeVirtualNode(VirtualKind::kLatest, static_cast<uint64_t>(record.id))});
  });
  invalidation_.invalidator.Drain();
}

void MountVerbs::SetPinned(int64_t snapshot_id, bool pinned) {
  const SnapshotRecord record = SnapshotById(store_, snapshot_id);
  Logged((pinned ? "pin " : "unpin ") + NameOf(nodes_, record),
         [&] { store_.SetPinned(snapshot_id, pinned); });
  if (!pinned) rollback_retention_.Look(record.workspace_id);
}

void MountVerbs::SetHold(int64_t snapshot_id, const std::string& tag, bool held) {
  const SnapshotRecord record = SnapshotById(store_, snapshot_id);
  Logged(fmt::format("{} {}, by {}", held ? "hold" : "release", NameOf(nodes_, record),
                     PlainText(tag)),
         [&] { store_.SetHold(snapshot_id, tag, held); });
  if (!held) rollback_retention_.Look(record.workspace_id);
}

void MountVerbs::SetMessage(int64_t snapshot_id, const std::string& message) {
  const SnapshotRecord record = SnapshotById(store_, snapshot_id);
  Logged("set the message of " + NameOf(nodes_, record),
         [&] { store_.SetMessage(snapshot_id, message); });
}

void MountVerbs::SetMetadata(int64_t snapshot_id, const Metadata& metadata) {
  const SnapshotRecord record = SnapshotById(store_, snapshot_id);
  Logged("set the metadata of " + NameOf(nodes_, record),
         [&] { store_.SetMetadata(snapshot_id, metadata); });
}

std::vector<std::string> MountVerbs::RemoveUnprotected(int64_t snapshot_id) {
  const SnapshotRecord record = SnapshotById(store_, snapshot_id);
  return Logged("clean up " + NameOf(nodes_, record), [&] {
    std::vector<std::string> protections = store_.RemoveUnprotected(snapshot_id);
    if (protections.empty()) SnapshotDeleted(record);
    return protections;
  });
}

void MountVerbs::SetSetting(std::optional<int64_t> workspace_id, const std::string& key,
                            const std::optional<std::string>& value) {
  const std::string whose =
      workspace_id ? "workspace " + nodes_.NameOf(*workspace_id) : "the store";
  Logged("set " + PlainText(key) + " of " + whose + " to " + PlainText(value.value_or("nothing")),
         [&] { store_.SetSetting(workspace_id, key, value); });
}

WorkspaceRecord MountVerbs::Fork(int64_t snapshot_id, const std::string& name,
                                 const std::optional<RenamePaths>& places) {
  const SnapshotRecord snapshot = SnapshotById(store_, snapshot_id);
  return Logged("fork " + NameOf(nodes_, snapshot) + " as " + name, [&] {
    busy_files_.RefuseDetachedWriters(snapshot, "fork snapshot " + snapshot.name,
                                      "Close the files first");
    WorkspaceRecord record = store_.Fork(snapshot_id, name);
    if (places) SnapshotMoved(snapshot, *places);
    WorkspacesChanged();
    return record;
  });
}

// The kernel treats its rename as any other: it has moved the snapshot's directory to the new name.
void MountVerbs::SnapshotMoved(const SnapshotRecord& snapshot, const RenamePaths& places) {
  const NodeId root = nodes_.slots.RootOf(snapshot.id, places.from);
  nodes_.slots.RenewSnapshot(snapshot.id, places.from);
  if (root != 0) invalidation_.stale_names.Add(root, places.directory, places.name);
}

bool MountVerbs::ChangedSinceParent(int64_t workspace_id, WorkLimits& limits) {
  const ParentComparison comparison = store_.BeginParentComparison(workspace_id);
  if (!comparison.pending) return comparison.changed;
  CopyLiveTree(workspace_id, *comparison.pending);
  return comparison.pending->Differs(limits);
}

DiffList MountVerbs::Diff(const DiffRequest& request, WorkLimits& limits) {
  const auto pending = store_.BeginComparison(request);
  if (pending->IsOfLiveTree()) CopyLiveTree(request.workspace_id, *pending);
  return pending->Changes(limits);
}

void MountVerbs::CopyLiveTree(int64_t workspace_id, PendingComparison& pending) {
  const auto frozen = Freeze(nodes_.workspaces.Get(workspace_id));
  pending.CopyLiveTree();
}

}  // namespace ckptfs
