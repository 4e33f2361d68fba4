// What a rename means.
#include <linux/fs.h>

#include <cerrno>
#include <utility>

#include "backend/base/error.h"
#include "catalog/trees/names.h"
#include "fs/operations/rights.h"
#include "fs/snapshots/snapshot_tree.h"
#include "fs/snapshots/snapshot_tree_internal.h"

namespace ckptfs {

bool SnapshotTree::IsVerb(NodeId parent, NodeId new_parent) {
  return IsVirtual(parent) && IsVirtual(new_parent);
}

void SnapshotTree::Rename(NodeId parent, const char* name, NodeId new_parent, const char* new_name,
                          unsigned int flags, const Asker& asker) {
  // An exchange is the same in either order.
  const bool is_backwards =
      ListAt(new_parent) && new_name != kLiveName && (!ListAt(parent) || name == kLiveName);
  if ((flags & RENAME_EXCHANGE) != 0 && is_backwards) {
    std::swap(parent, new_parent);
    std::swap(name, new_name);
  }
  if (const auto list = ListAt(parent)) {
    RenameSnapshot(*list, name, new_parent, new_name, flags, asker);
    return;
  }
  if (parent == kMountRootNode && new_parent == kMountRootNode) {
    const auto record = store_.rows().FindWorkspace(name);
    if (!record || (flags & RENAME_EXCHANGE) != 0) throw NotServed("rename");
    verbs_.RenameWorkspace(*record, new_name);
    return;
  }
  const auto is_snapshot_content = [this](NodeId node) {
    const auto view = IsVirtual(node) ? nullptr : nodes_.slots.Find(SlotOf(node));
    return view && view->kind == View::Kind::kSnapshot;
  };
  if (is_snapshot_content(parent) || is_snapshot_content(new_parent)) {
    throw Error(EROFS, "rename a file of a snapshot");
  }
  // A directory moved from a workspace to the mount root becomes a workspace by copying: mv copies on EXDEV.
  // No other rename is possible between here and a volume.
  if (!IsVirtual(parent) && new_parent == kMountRootNode && (flags & RENAME_EXCHANGE) == 0) {
    throw Error(EXDEV, "move a file out of its workspace");
  }
  throw NotServed("rename");
}

void SnapshotTree::RenameSnapshot(const SnapshotList& list, const char* name, NodeId new_parent,
                                  const char* new_name, unsigned int flags, const Asker& asker) {
  const auto snapshot = store_.rows().FindSnapshot(list.workspace.id, name);
  if (!snapshot) {
    if (name == kLatestName || name == kLiveName) throw NotServed("rename");
    // The kernel found it a moment ago: it was removed through the other list, which has its own locks, or
    // through the control file.
    throw NoSuchName(name);
  }
  if (new_parent == kMountRootNode) {
    RenameToMountRoot(*snapshot, list.place, new_name, flags, asker);
    return;
  }
  const auto new_list = ListAt(new_parent);
  if (!new_list || new_list->workspace.id != list.workspace.id || new_list->place != list.place) {
    throw NotServed("rename");
  }
  if (new_name == kLiveName) {
    if ((flags & RENAME_NOREPLACE) != 0) throw Error(EEXIST, "rename a snapshot");
    const auto mode =
        (flags & RENAME_EXCHANGE) != 0 ? ExchangeMode::kExchange : ExchangeMode::kKeepSnapshot;
    verbs_.RollbackOntoLive(
        {.workspace_id = list.workspace.id, .snapshot_id = snapshot->id, .mode = mode},
        {.from = list.place, .directory = new_parent, .name = new_name});
    return;
  }
  if ((flags & RENAME_EXCHANGE) != 0) throw NotServed("exchange two snapshots");
  verbs_.RenameSnapshot(*snapshot, new_name, list.place);
}

void SnapshotTree::RenameToMountRoot(const SnapshotRecord& snapshot, SnapDir place,
                                     const char* new_name, unsigned int flags, const Asker& asker) {
  const RenamePaths places{.from = place, .directory = kMountRootNode, .name = new_name};
  const auto target = store_.rows().FindWorkspace(new_name);
  if (!target) {
    if ((flags & RENAME_EXCHANGE) != 0 || IsReservedInWorkspace(new_name))
      throw NotServed("rename");
    verbs_.Fork(snapshot.id, new_name, places);
    return;
  }
  if ((flags & RENAME_NOREPLACE) != 0) throw Error(EEXIST, "rename a snapshot");
  // W/.snapshots/S over W: the kernel refuses that with the same errno, unless another rename has put W there
  // between its two path walks. Serving it would put a directory below itself in the dcache, and walks into
  // it would get ELOOP.
  if (place == SnapDir::kInner && target->id == snapshot.workspace_id) {
    throw Error((flags & RENAME_EXCHANGE) != 0 ? EINVAL : ENOTEMPTY,
                "move a snapshot over the workspace that it lies in", {},
                "Use .live, or the snapshot's name in the mount's .snapshots");
  }
  // The kernel has checked the list that holds the snapshot, and the mount root. It has not checked whether
  // the workspace's own root lets the caller change everything in it.
  const bool is_of_list = target->id == snapshot.workspace_id;
  RequireRight(
      store_, Right::kRollBack, asker,
      {.workspace = &*target, .may_write_workspace = is_of_list, .may_write_mount_root = true});
  RollbackRequest request{.workspace_id = target->id, .snapshot_id = snapshot.id};
  if ((flags & RENAME_EXCHANGE) != 0) {
    // The previous state would have to get a name in another workspace's list.
    if (!is_of_list) throw NotServed("exchange with another workspace");
    request.mode = ExchangeMode::kExchange;
  }
  verbs_.RollbackByName(request, places);
}

}  // namespace ckptfs
