// For file handles (name_to_handle_at(2), NFS): nodes that the kernel has forgotten, and parents.
#include <sys/stat.h>

#include <cerrno>
#include <chrono>

#include "backend/base/error.h"
#include "catalog/trees/names.h"
#include "fs/snapshots/snapshot_tree.h"
#include "fs/snapshots/snapshot_tree_internal.h"

namespace ckptfs {
namespace {

constexpr std::chrono::milliseconds kHiddenLookUpMax{200};

// While it exists, a snapshot's slot has a view, which may have gone with the kernel's last node in it.
// Throws ESTALE if the slot no longer belongs to a snapshot. Does nothing for other slots.
class KeptView {
 public:
  KeptView(Nodes& nodes, Slot slot) : slots_(nodes.slots) {
    const auto kept = slots_.SnapshotOf(slot);
    if (!kept) {
      const auto view = slots_.Find(slot);
      if (!view || view->kind != View::Kind::kSnapshot) return;
      throw Error(ESTALE, "find a snapshot", "it was deleted, or a rename has moved it");
    }
    const auto record = nodes.store.rows().FindSnapshot(kept->snapshot_id);
    if (!record) {
      slots_.RenewSnapshot(kept->snapshot_id, kept->place);
      throw Error(ESTALE, "find a snapshot", "it has been deleted");
    }
    view_ = slots_.AcquireSnapshot(*record, kept->place);
    if (view_->slot == slot) return;
    slots_.Forget(view_->slot, 1);
    throw Error(ESTALE, "find a snapshot", "a rename has moved it");
  }
  ~KeptView() {
    if (view_) slots_.Forget(view_->slot, 1);
  }
  KeptView(const KeptView&) = delete;
  KeptView& operator=(const KeptView&) = delete;

 private:
  SlotTable& slots_;
  std::shared_ptr<View> view_;
};

Error Stale() { return Error(ESTALE, "find a file", "it is there no longer"); }

}  // namespace

Entry SnapshotTree::RootAgain(const View& view) {
  if (view.workspace) {
    const auto record = store_.rows().FindWorkspace(view.workspace->id());
    if (!record) throw Stale();
    return EntryOfWorkspace(*record);
  }
  const auto record = store_.rows().FindSnapshot(view.snapshot_id);
  if (!record) throw Stale();
  return EntryOfSnapshot(*record, view.place);
}

Entry SnapshotTree::VirtualAgain(NodeId node) {
  const int64_t id = static_cast<int64_t>(IdOf(node));
  switch (VirtualKindOf(node)) {
    case VirtualKind::kInnerList:
      if (mount_.options.snapshot_directory == SnapshotDirectory::kOff) throw Stale();
      return EntryOfList(node);
    case VirtualKind::kRootLive:
    case VirtualKind::kInnerLive: {
      const SnapDir place =
          VirtualKindOf(node) == VirtualKind::kRootLive ? SnapDir::kRoot : SnapDir::kInner;
      if (LiveWorkspaceAt(id >> kLiveTurnBits)->live_node(place) != node) throw Stale();
      return EntryOfVirtual(node);
    }
    case VirtualKind::kLatest: {
      const auto named = store_.rows().FindSnapshot(id);
      const auto newest =
          named ? store_.rows().NewestCheckpoint(named->workspace_id) : std::nullopt;
      if (!newest || newest->id != id) throw Stale();
      return EntryOfVirtual(node);
    }
    default:
      return EntryOfVirtual(node);
  }
}

// The kernel reconnects a directory through its parent and the name in the parent's listing. If no listing
// shows the name, the kernel must have looked up the directory by path before.
std::string SnapshotTree::HiddenPath(NodeId node) const {
  const auto inner_list = [this](int64_t workspace_id) {
    return nodes_.NameOf(workspace_id) + "/" + std::string(kSnapshotsName);
  };
  if (IsVirtual(node)) {
    const int64_t id = static_cast<int64_t>(IdOf(node));
    const std::string live = "/" + std::string(kLiveName);
    switch (VirtualKindOf(node)) {
      case VirtualKind::kInnerList:
        return inner_list(id);
      case VirtualKind::kInnerLive:
        return inner_list(id >> kLiveTurnBits) + live;
      case VirtualKind::kRootLive:
        return std::string(kSnapshotsName) + "/" + nodes_.NameOf(id >> kLiveTurnBits) + live;
      default:
        return {};
    }
  }
  const auto view = nodes_.slots.Find(SlotOf(node));
  if (!view || view->kind != View::Kind::kSnapshot || view->place != SnapDir::kInner) return {};
  const auto record = store_.rows().FindSnapshot(view->snapshot_id);
  return record ? inner_list(record->workspace_id) + "/" + record->name : std::string();
}

Entry SnapshotTree::FindAgain(NodeId node) {
  const KeptView kept(nodes_, SlotOf(node));
  const auto view = nodes_.slots.Find(SlotOf(node));
  if (!IsVirtual(node) && !view) throw Stale();
  const bool is_root = InodeOf(node) == kRootInode;
  const Entry entry = IsVirtual(node) ? VirtualAgain(node)
                      : is_root       ? RootAgain(*view)
                                      : files_.FindAgain(node);
  try {
    if (entry.node != node) throw Stale();
    if (S_ISDIR(entry.attributes.stat.st_mode)) {
      const std::string path = HiddenPath(node);
      if (!path.empty()) invalidation_.helper.LookUp(path, kHiddenLookUpMax);
    }
  } catch (...) {
    files_.Forget(entry.node, 1);
    throw;
  }
  return entry;
}

Entry SnapshotTree::ParentOfVirtual(NodeId node) {
  const int64_t id = static_cast<int64_t>(IdOf(node));
  switch (VirtualKindOf(node)) {
    case VirtualKind::kSingle:
      return EntryOfVirtual(kMountRootNode);
    case VirtualKind::kRootList:
      return EntryOfList(kAllSnapshotsNode);
    case VirtualKind::kInnerList:
    case VirtualKind::kControl:
      return EntryOfWorkspace(WorkspaceById(id));
    case VirtualKind::kRootLive:
      return EntryOfList(ListNode(id >> kLiveTurnBits, SnapDir::kRoot));
    case VirtualKind::kInnerLive:
      return EntryOfList(ListNode(id >> kLiveTurnBits, SnapDir::kInner));
    case VirtualKind::kLatest:
      break;  // a symlink: the kernel does not ask for its parent
  }
  throw Stale();
}

Entry SnapshotTree::FindParent(NodeId node) {
  if (IsVirtual(node)) return ParentOfVirtual(node);
  const KeptView kept(nodes_, SlotOf(node));
  const auto view = nodes_.slots.Find(SlotOf(node));
  if (!view) throw Stale();
  if (InodeOf(node) != kRootInode) {
    const auto parent = files_.FindParent(node);
    return parent ? *parent : RootAgain(*view);
  }
  if (view->workspace) return EntryOfVirtual(kMountRootNode);
  const auto record = store_.rows().FindSnapshot(view->snapshot_id);
  if (!record) throw Stale();
  return EntryOfList(ListNode(record->workspace_id, view->place));
}

}  // namespace ckptfs
