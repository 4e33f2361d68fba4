#include "fs/mount_verbs.h"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <chrono>
#include <future>

#include "backend/base/error.h"
#include "backend/base/time.h"
#include "catalog/names.h"
#include "fs/file_tree.h"
#include "fs/live_holds.h"

namespace ckptfs {
namespace {

// For listings in flight to reach the kernel's caches; see SettleListings.
constexpr std::chrono::milliseconds kListingsWait{100};

// Logs one line for an operation that ends in its scope, and how long it took.
class OperationLog {
 public:
  explicit OperationLog(std::string what)
      : what_(std::move(what)), start_(std::chrono::steady_clock::now()) {}

  template <typename Result>
  Result Run(const std::function<Result()>& operation) {
    try {
      if constexpr (std::is_void_v<Result>) {
        operation();
        Done();
      } else {
        Result result = operation();
        Done();
        return result;
      }
    } catch (const Error& error) {
      spdlog::warn("{} failed: {} ({:.1f} ms)", what_, error.what(), ElapsedMs());
      throw;
    }
  }

 private:
  void Done() const { spdlog::info("{} ({:.1f} ms)", what_, ElapsedMs()); }
  double ElapsedMs() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_)
        .count();
  }

  std::string what_;
  std::chrono::steady_clock::time_point start_;
};

template <typename Operation>
auto Logged(std::string what, Operation operation) {
  using Result = decltype(operation());
  return OperationLog(std::move(what)).Run(std::function<Result()>(operation));
}

std::string NameOf(const MountContext& mount, const SnapshotRecord& snapshot) {
  return mount.NameOf(snapshot.workspace_id) + "/" + snapshot.name;
}

SnapshotRecord SnapshotById(const Store& store, int64_t id) {
  auto record = store.FindSnapshot(id);
  if (!record) throw Error(ENOENT, "find a snapshot", "it has been deleted");
  return *record;
}

}  // namespace

MountVerbs::MountVerbs(MountContext& mount)
    : mount_(mount),
      busy_files_(mount),
      writer_notes_(mount),
      undo_limiter_(mount.store,
                    [this](const SnapshotRecord& deleted) { SnapshotDeleted(deleted); }) {
  mount_.store.backend().OnRevival([this](const VolumeId& volume) { Revived(volume); });
}

MountVerbs::~MountVerbs() { mount_.store.backend().OnRevival({}); }

int64_t MountVerbs::NowAtStart() { return NowNs(); }

void MountVerbs::WorkspacesChanged() {
  workspaces_changed_ns_ = NowNs();
  for (const NodeId node : {kMountRootNode, kAllSnapshotsNode}) {
    mount_.kernel.InvalidateAttributes(node);
  }
  mount_.kernel.IncrementEpoch();  // a name of one stands in two places
}

LiveHooks MountVerbs::Hooks() {
  // Listed once, by whoever stops them.
  const auto writers = std::make_shared<std::vector<WriterHandle>>();
  return {.hold = [this, writers](int64_t workspace_id) -> std::unique_ptr<LiveHold> {
            const auto workspace = mount_.workspaces.Get(workspace_id);
            // Before the gate closes: what takes long where much was written a moment ago, and what is
            // written back, as it passes the gate.
            if (const auto files = workspace->live()->files) {
              FileTree(mount_).ForgetUnmapped(files->slot);
            }
            mount_.notifier.InvalidateContent(FilesWithPages(*workspace));
            mount_.notifier.Drain();
            auto hold = std::make_unique<MomentHold>(mount_, workspace);
            *writers = hold->writers();
            return hold;
          },
          .note_writers =
              [this, writers](int64_t workspace_id) {
                return writer_notes_.Take(workspace_id, std::move(*writers));
              }};
}

WorkspaceRecord MountVerbs::CreateWorkspace(const std::string& name, const RootAttributes& root,
                                            const std::string& from) {
  return Logged("create workspace " + name, [&] {
    WorkspaceRecord record = mount_.store.CreateWorkspace(name, root, from);
    WorkspacesChanged();
    return record;
  });
}

WorkspaceRecord MountVerbs::CommitWorkspace(Store::PendingWorkspace& pending) {
  return Logged("import a workspace", [&] {
    WorkspaceRecord record = pending.Commit();
    WorkspacesChanged();
    return record;
  });
}

void MountVerbs::RemoveWorkspace(const WorkspaceRecord& record) {
  Logged("remove workspace " + record.name, [&] {
    const auto workspace = mount_.workspaces.Get(record.id);
    mount_.store.RemoveWorkspace(record.id, Hooks(), [&] {
      if (!workspace->live()->volume) return true;
      bool empty = true;
      FileTree(mount_).List(workspace->root_node(), 0, 4096, false, [&](const ListedName& listed) {
        const std::string_view name = listed.name;
        empty = name == "." || name == ".." || name == kSnapshotsName;
        return empty;
      });
      return empty;
    });
    mount_.workspaces.Remove(record.id);
    WorkspacesChanged();
  });
}

void MountVerbs::RenameWorkspace(const WorkspaceRecord& record, const std::string& new_name) {
  Logged("rename workspace " + record.name + " to " + new_name, [&] {
    mount_.store.RenameWorkspace(record.id, new_name);
    WorkspacesChanged();
  });
}

SnapshotRecord MountVerbs::Checkpoint(int64_t workspace_id, const CheckpointRequest& request) {
  const std::string workspace = mount_.NameOf(workspace_id);
  return Logged("checkpoint " + workspace + "/" + request.name, [&] {
    SnapshotRecord made = mount_.store.Checkpoint(workspace_id, request, Hooks());
    mount_.ListsChanged(workspace_id);
    return made;
  });
}

void MountVerbs::DeleteSnapshot(int64_t snapshot_id, bool force) {
  const SnapshotRecord record = SnapshotById(mount_.store, snapshot_id);
  Logged("delete " + NameOf(mount_, record), [&] {
    if (!force) {
      busy_files_.RefuseDetachedWriters(
          record, "delete snapshot " + record.name,
          "Close the files, or lose what is written to them: ckpt delete --force");
    }
    mount_.store.DeleteSnapshot(snapshot_id, force);
    SnapshotDeleted(record);
  });
}

// The kernel takes the name away itself where rmdir(2) asked for it, in one of two places. Others wait
// for nobody: the lock of a list may be held by a request that waits for this very thread. Until then
// what is found under the name gives ESTALE, on which the kernel looks again.
void MountVerbs::SnapshotDeleted(const SnapshotRecord& record) {
  mount_.ListsChanged(record.workspace_id);
  mount_.listings.Post([&mount = mount_, record] {  // which outlives this
    for (const VirtualKind kind : {VirtualKind::kRootList, VirtualKind::kInnerList}) {
      mount.kernel.ExpireName(MakeVirtualNode(kind, static_cast<uint64_t>(record.workspace_id)),
                              record.name);
    }
  });
  if (const auto slot = mount_.detached.Drop(record.volume)) mount_.slots.Unpin(*slot);
  mount_.volumes.Drop(record.volume);
  mount_.directory_fds.Drop(record.volume);
}

void MountVerbs::RenameSnapshot(const SnapshotRecord& record, const std::string& new_name) {
  Logged("rename " + NameOf(mount_, record) + " to " + new_name, [&] {
    mount_.store.RenameSnapshot(record.id, new_name);
    // `latest` may name it, and the kernel keeps what symlinks say.
    mount_.kernel.IncrementEpoch();
    mount_.ListsChanged(record.workspace_id);
    mount_.notifier.InvalidateContent(
        {MakeVirtualNode(VirtualKind::kLatest, static_cast<uint64_t>(record.id))});
  });
  mount_.notifier.Drain();
}

void MountVerbs::SetPinned(int64_t snapshot_id, bool pinned) {
  const SnapshotRecord record = SnapshotById(mount_.store, snapshot_id);
  Logged((pinned ? "pin " : "unpin ") + NameOf(mount_, record),
         [&] { mount_.store.SetPinned(snapshot_id, pinned); });
  if (!pinned) undo_limiter_.Look(record.workspace_id);
}

void MountVerbs::SetMessage(int64_t snapshot_id, const std::string& message) {
  const SnapshotRecord record = SnapshotById(mount_.store, snapshot_id);
  Logged("set the message of " + NameOf(mount_, record),
         [&] { mount_.store.SetMessage(snapshot_id, message); });
}

void MountVerbs::SetMetadata(int64_t snapshot_id, const std::string& json) {
  const SnapshotRecord record = SnapshotById(mount_.store, snapshot_id);
  Logged("set the metadata of " + NameOf(mount_, record),
         [&] { mount_.store.SetMetadata(snapshot_id, json); });
}

std::vector<NodeId> MountVerbs::FilesWithPages(const LiveWorkspace& workspace) const {
  const auto live = workspace.live();
  if (!live->files) return {};
  std::vector<NodeId> nodes;
  for (const WriterHandle& writer : mount_.open_files.Writers(live->files->slot)) {
    if (writer.through_daemon) nodes.push_back(writer.node);
  }
  return nodes;
}

void MountVerbs::SwitchLive(LiveWorkspace& workspace, const SnapshotRecord& snapshot,
                            const RollbackResult& result, RootNode root_node) {
  std::shared_ptr<Volume> volume;
  try {
    volume = mount_.store.backend().Open(result.workspace.volume);
  } catch (const std::exception& error) {
    // It was made a moment ago. The catalog is right; a new mount will try again.
    spdlog::critical("the restored volume cannot be opened: {}", error.what());
  }
  // Handles on files of the state before show the inode numbers of the snapshot that keeps it.
  uint64_t old_number = 0;
  if (result.kept) old_number = result.kept->view;
  if (result.equal_to) old_number = result.equal_to->view;
  const std::shared_ptr<View> old = workspace.live()->files;
  try {
    if (old && result.in_writing) {
      mount_.detached.Add({.volume = result.old_volume,
                           .slot = old->slot,
                           .workspace_id = workspace.id(),
                           .view = result.kept->view,
                           .former_view = workspace.number()});
    }
    const bool foreign = workspace.IsForeign(snapshot);
    const auto begin_line = [&] {
      const auto newest = mount_.store.NewestSnapshot(workspace.id());
      workspace.BeginLine(newest ? newest->id : 0);
    };
    if (foreign) begin_line();
    workspace.Switch(std::move(volume), old_number, result.in_writing);
    if (foreign) begin_line();
  } catch (const std::exception& error) {
    // The catalog has the restored state. What programs went on writing to the one before would not be
    // in it: nobody may.
    spdlog::critical("the restored state can be served only after a new mount: {}", error.what());
    workspace.Switch(nullptr, old_number, result.in_writing);
  }
  // Not before: who opens a file from now on finds that it is left behind. Without undo the state
  // before is about to be destroyed.
  if (old) FileTree(mount_).KeepAllReachable(old->slot);
  mount_.directory_fds.Drop(result.old_volume);
  ++mount_.switches;
  if (root_node == RootNode::kRenew) workspace.RenewRoot();
  mount_.kernel.IncrementEpoch();
  if (!old || old_number == 0) return;
  for (const NodeId node : mount_.open_files.Nodes(old->slot)) {
    mount_.kernel.InvalidateAttributes(node);
  }
}

// As after a rollback, only that files in the state before are those in this one: what was written last
// may be missing, and what is open answers EIO for as long as it is open. Whoever opens such a file anew
// must get the new filesystem's, so all get new node ids.
void MountVerbs::Revived(const VolumeId& volume) {
  const auto workspace = mount_.workspaces.WithVolume(volume);
  if (!workspace) return;
  {
    const GateHold hold(mount_, workspace, /*becomes_snapshot=*/false);
    const auto live = workspace->live();
    if (!live->volume || live->volume->id() != volume) return;  // rolled back meanwhile
    workspace->Switch(live->volume, /*old_number=*/0);
    mount_.directory_fds.Drop(volume);
    ++mount_.switches;
    mount_.kernel.IncrementEpoch();
  }
  SettleListings(*workspace);
  ForgetContent(*workspace, {});
  mount_.ListsChanged(workspace->id());
}

// What the kernel has of the live tree's directories without a path walk, and of `stale`.
void MountVerbs::ForgetContent(LiveWorkspace& workspace, std::vector<NodeId> stale) {
  const std::vector<NodeId> directories = workspace.directories().All();
  stale.insert(stale.end(), directories.begin(), directories.end());
  stale.push_back(workspace.root_node());
  mount_.notifier.InvalidateContent(std::move(stale));
}

// A listing with attributes that was answered before the switch may be taken in by the kernel after
// it, and then its names count as looked up after it. When all such have been taken in, the names
// are looked up anew once more. The kernel takes a listing in with its directory locked, and the
// lock may be held by a rename or rmdir that waits for this very verb, so it is waited for on a
// thread of its own, and not for ever: if that is so, no listing can come to its end before, and
// the names are put right as soon as that request has been answered.
void MountVerbs::SettleListings(LiveWorkspace& workspace) {
  std::vector<NodeId> listed = workspace.directories().TakeListed();
  listed.push_back(workspace.root_node());
  const auto settled = std::make_shared<std::promise<void>>();
  const std::future<void> done = settled->get_future();
  mount_.listings.Post([&mount = mount_, settled, listed = std::move(listed)] {
    for (const NodeId directory : listed) mount.kernel.AwaitListings(directory);
    mount.kernel.IncrementEpoch();
    // What a listing was added to after the switch is of no use either.
    mount.notifier.InvalidateContent(listed);
    settled->set_value();
  });
  done.wait_for(kListingsWait);
}

RollbackResult MountVerbs::Rollback(const RollbackRequest& request, bool force,
                                    RootNode root_node) {
  const auto workspace = mount_.workspaces.Get(request.workspace_id);
  const SnapshotRecord snapshot = SnapshotById(mount_.store, request.snapshot_id);
  const bool detach = force || mount_.options.detach_busy;
  const std::string what =
      "roll back " + mount_.NameOf(request.workspace_id) + " to " + NameOf(mount_, snapshot);
  RollbackRequest wanted = request;
  wanted.even_in_writing = detach;
  std::vector<NodeId> stale;  // of which the kernel has something in vain
  RollbackResult result = Logged(what, [&] {
    if (!detach) {
      busy_files_.AwaitReleases(*workspace);
      busy_files_.RefuseOpenWriters(*workspace);  // before any volume is made
    }
    if (request.mode == ExchangeMode::kExchange) {
      busy_files_.RefuseDetachedWriters(snapshot, what,
                                        "An exchange would take it from them. Close the files");
    } else if (!detach) {
      busy_files_.RefuseDetachedWriters(
          snapshot, what,
          "Close the files, or use 'ckpt rollback --force' to take it as it is "
          "at this moment");
    }
    LiveHooks hooks;
    bool writers_came = false;
    hooks.hold = [&](int64_t) -> std::unique_ptr<LiveHold> {
      auto hold = std::make_unique<GateHold>(mount_, workspace, true);
      writers_came = !detach && !busy_files_.InLive(*workspace).empty();
      if (writers_came) throw Error(EBUSY, what, "files were opened for writing meanwhile");
      return hold;
    };
    hooks.has_writers = [&] { return !busy_files_.InLive(*workspace).empty(); };
    RollbackResult done;
    try {
      done = mount_.store.Rollback(wanted, hooks, [&](const RollbackResult& switched) {
        if (switched.in_writing) stale = FilesWithPages(*workspace);
        SwitchLive(*workspace, snapshot, switched, root_node);
      });
    } catch (const Error&) {
      // Who it is takes a look at all processes: not while the gate is shut and the store locked.
      if (writers_came) busy_files_.RefuseOpenWriters(*workspace);
      throw;
    }
    mount_.slots.RenewSnapshot(request.snapshot_id);
    mount_.volumes.Drop(done.old_volume);
    if (done.dropped) SnapshotDeleted(*done.dropped);
    if (request.mode == ExchangeMode::kExchange) mount_.volumes.Drop(snapshot.volume);
    return done;
  });
  mount_.ListsChanged(request.workspace_id);
  SettleListings(*workspace);
  ForgetContent(*workspace, std::move(stale));
  undo_limiter_.Look(request.workspace_id);
  mount_.notifier.Drain();
  return result;
}

RollbackResult MountVerbs::RollbackInPlace(const RollbackRequest& request, bool force) {
  return Rollback(request, force, RootNode::kKeep);
}

RollbackResult MountVerbs::RollbackByName(const RollbackRequest& request) {
  return Rollback(request, false, RootNode::kRenew);
}

RollbackResult MountVerbs::RollbackOntoLive(const RollbackRequest& request) {
  RollbackResult result = Rollback(request, false, RootNode::kKeep);
  mount_.workspaces.Get(request.workspace_id)->NextLiveTurn();
  return result;
}

WorkspaceRecord MountVerbs::Fork(int64_t snapshot_id, const std::string& name) {
  const SnapshotRecord snapshot = SnapshotById(mount_.store, snapshot_id);
  return Logged("fork " + NameOf(mount_, snapshot) + " as " + name, [&] {
    busy_files_.RefuseDetachedWriters(snapshot, "fork snapshot " + snapshot.name,
                                      "Close the files first");
    WorkspaceRecord record = mount_.store.Fork(snapshot_id, name);
    mount_.slots.RenewSnapshot(snapshot_id);
    WorkspacesChanged();
    return record;
  });
}

bool MountVerbs::ChangedSinceParent(int64_t workspace_id) {
  return mount_.store.ChangedSinceParent(workspace_id, Hooks());
}

std::vector<Change> MountVerbs::Diff(int64_t older_snapshot_id,
                                     std::optional<int64_t> newer_snapshot_id,
                                     int64_t workspace_id) {
  return mount_.store.Diff(older_snapshot_id, newer_snapshot_id, workspace_id, Hooks());
}

}  // namespace ckptfs
