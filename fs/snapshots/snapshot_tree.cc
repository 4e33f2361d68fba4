#include "fs/snapshots/snapshot_tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/error.h"
#include "catalog/trees/names.h"
#include "fs/nodes/list_position.h"
#include "fs/snapshots/snapshot_tree_internal.h"

namespace ckptfs {
namespace {

// Listings of directories outside of any volume begin with "." and ".."; then come entries by database id.
constexpr off_t kFirstEntryOffset = 2;

// A lookup accepts names that could not be created, but too long ones must get ENAMETOOLONG.
void CheckLength(const char* name) {
  if (std::string_view(name).size() > kMaxNameBytes) throw Error(ENAMETOOLONG, "look up a name");
}

}  // namespace

// --- Which node is what --------------------------------------------------------------------------

bool SnapshotTree::Owns(NodeId node) const {
  if (IsVirtual(node)) return true;
  if (InodeOf(node) != kRootInode) return false;
  const auto view = nodes_.slots.Find(SlotOf(node));
  return view && view->kind == View::Kind::kSnapshot;
}

bool SnapshotTree::TellsAttributesOf(NodeId node) const {
  if (IsVirtual(node)) return true;
  if (InodeOf(node) != kRootInode) return false;
  const auto view = nodes_.slots.Find(SlotOf(node));
  if (!view) return false;
  return view->workspace ? !view->workspace->live()->volume : view->kind == View::Kind::kSnapshot;
}

bool SnapshotTree::IsReserved(NodeId parent, const char* name) const {
  if (IsVirtual(parent) || InodeOf(parent) != kRootInode || !IsReservedInWorkspace(name)) {
    return false;
  }
  const auto view = nodes_.slots.Find(SlotOf(parent));
  return view && view->kind == View::Kind::kLiveDirectories;
}

std::optional<std::optional<int64_t>> SnapshotTree::ControlScope(NodeId node) const {
  if (node == kMountControlNode) return std::optional<int64_t>{};
  if (!IsVirtual(node) || VirtualKindOf(node) != VirtualKind::kControl) return std::nullopt;
  return static_cast<int64_t>(IdOf(node));
}

int64_t SnapshotTree::WorkspaceOf(NodeId node) const {
  if (IsVirtual(node)) {
    const VirtualKind kind = VirtualKindOf(node);
    const bool is_list = kind == VirtualKind::kRootList || kind == VirtualKind::kInnerList;
    return is_list ? static_cast<int64_t>(IdOf(node)) : 0;
  }
  const auto view = nodes_.slots.Find(SlotOf(node));
  const auto snapshot = view ? store_.rows().FindSnapshot(view->snapshot_id) : std::nullopt;
  return snapshot ? snapshot->workspace_id : 0;
}

NodeId SnapshotTree::ListOf(NodeId parent, NodeId new_parent) {
  const auto is_list = [](NodeId node) {
    const VirtualKind kind = VirtualKindOf(node);
    return kind == VirtualKind::kRootList || kind == VirtualKind::kInnerList;
  };
  if (is_list(parent)) return parent;
  return is_list(new_parent) ? new_parent : kMountRootNode;
}

WorkspaceRecord SnapshotTree::WorkspaceById(int64_t id) const {
  auto record = store_.rows().FindWorkspace(id);
  if (!record) throw Error(ENOENT, "find a workspace", "it has been removed");
  return *record;
}

std::optional<SnapshotTree::SnapshotList> SnapshotTree::ListAt(NodeId directory) const {
  if (!IsVirtual(directory)) return std::nullopt;
  const VirtualKind kind = VirtualKindOf(directory);
  if (kind != VirtualKind::kRootList && kind != VirtualKind::kInnerList) return std::nullopt;
  return SnapshotList{.workspace = WorkspaceById(static_cast<int64_t>(IdOf(directory))),
                      .place = kind == VirtualKind::kRootList ? SnapDir::kRoot : SnapDir::kInner};
}

SnapshotRecord SnapshotTree::SnapshotAt(NodeId node) const {
  const auto view = nodes_.slots.Find(SlotOf(node));
  if (!view) throw Error(ESTALE, "find a snapshot");
  auto record = store_.rows().FindSnapshot(view->snapshot_id);
  if (!record) throw Error(ESTALE, "find a snapshot", "it has been deleted");
  return *record;
}

NodeId SnapshotTree::LiveNode(const SnapshotList& list) const {
  return nodes_.workspaces.Get(list.workspace.id)->live_node(list.place);
}

// --- Names ---------------------------------------------------------------------------------------

Entry SnapshotTree::EntryOfVirtual(NodeId node) {
  return Entry{.node = node, .attributes = GetAttributes(node)};
}

Entry SnapshotTree::EntryOfWorkspace(const WorkspaceRecord& record) {
  const auto workspace = nodes_.workspaces.Get(record.id);
  const NodeHandle root = workspace->AcquireRoot();
  Entry entry{.node = root.node, .generation = root.generation};
  const auto live = workspace->live();
  if (live->volume) {
    entry.attributes.stat =
        StatOf(StatxAt(live->volume->root_fd(), ""), MakeNumber(workspace->number(), kRootInode));
    entry.attributes.timeout_s = entry.entry_timeout_s = mount_.KeepSeconds();
  } else {
    entry.attributes = RootWithoutData(record);
  }
  return entry;
}

Entry SnapshotTree::EntryOfSnapshot(const SnapshotRecord& record, SnapDir place) {
  const auto view = nodes_.slots.AcquireSnapshot(record, place);
  Entry entry{.node = MakeNumber(view->slot, kRootInode), .generation = view->generation};
  entry.attributes = RootOfSnapshot(record);
  entry.entry_timeout_s = mount_.KeepSeconds();
  return entry;
}

Entry SnapshotTree::EntryOfList(NodeId node) {
  Entry entry = EntryOfVirtual(node);
  entry.entry_timeout_s = mount_.KeepSeconds();
  return entry;
}

Entry SnapshotTree::LookupInMountRoot(const char* name) {
  if (name == kSnapshotsName) return EntryOfList(kAllSnapshotsNode);
  if (name == kControlName) return EntryOfVirtual(kMountControlNode);
  const auto record = store_.rows().FindWorkspace(name);
  return record ? EntryOfWorkspace(*record) : Entry{};
}

Entry SnapshotTree::LookupInAllSnapshots(const char* name) {
  const auto record = store_.rows().FindWorkspace(name);
  if (!record) return Entry{};
  return EntryOfList(MakeVirtualNode(VirtualKind::kRootList, static_cast<uint64_t>(record->id)));
}

Entry SnapshotTree::LookupInList(const SnapshotList& list, const char* name) {
  if (name == kLiveName) return EntryOfVirtual(LiveNode(list));
  if (name == kLatestName) {
    const auto newest = store_.rows().NewestCheckpoint(list.workspace.id);
    if (!newest) return Entry{};
    return EntryOfVirtual(MakeVirtualNode(VirtualKind::kLatest, static_cast<uint64_t>(newest->id)));
  }
  const auto record = store_.rows().FindSnapshot(list.workspace.id, name);
  return record ? EntryOfSnapshot(*record, list.place) : Entry{};
}

Entry SnapshotTree::Lookup(NodeId parent, const char* name) {
  CheckLength(name);
  if (parent == kMountRootNode) return LookupInMountRoot(name);
  if (parent == kAllSnapshotsNode) return LookupInAllSnapshots(name);
  if (const auto list = ListAt(parent)) return LookupInList(*list, name);
  return Entry{};  // `.live` is empty
}

Entry SnapshotTree::LookupReserved(NodeId parent, const char* name) {
  const auto view = nodes_.slots.Find(SlotOf(parent));
  if (!view || !view->workspace) throw Error(ESTALE, "find a file");
  const uint64_t id = static_cast<uint64_t>(view->workspace->id());
  if (name == kControlName) return EntryOfVirtual(MakeVirtualNode(VirtualKind::kControl, id));
  if (name == kUnlinkedName) return Entry{};
  if (mount_.options.snapshot_directory == SnapshotDirectory::kOff) return Entry{};
  return EntryOfList(MakeVirtualNode(VirtualKind::kInnerList, id));
}

Entry SnapshotTree::MakeDirectory(NodeId parent, const char* name, mode_t mode,
                                  const Caller& caller) {
  if (parent == kMountRootNode) {
    const RootAttributes root =
        NewDirectoryBelow(store_.rows().MountRoot(), mode & ~caller.umask, caller.uid, caller.gid);
    return EntryOfWorkspace(verbs_.CreateWorkspace(name, root, {}));
  }
  const auto list = ListAt(parent);
  if (!list) throw NotServed("make a directory");
  CheckName("snapshot", name);  // in a request an empty name means: generate one
  return EntryOfSnapshot(verbs_.Checkpoint(list->workspace.id, {.name = name}), list->place);
}

void SnapshotTree::RemoveDirectory(NodeId parent, const char* name) {
  if (parent == kMountRootNode && name != kSnapshotsName) {
    const auto record = store_.rows().FindWorkspace(name);
    if (!record) throw NoSuchName(name);
    verbs_.RemoveWorkspace(*record);
    return;
  }
  const auto list = ListAt(parent);
  if (!list || name == kLiveName) throw NotServed("remove a directory");
  const auto record = store_.rows().FindSnapshot(list->workspace.id, name);
  if (!record) throw NoSuchName(name);
  verbs_.DeleteSnapshot(record->id, false);
}

// --- Listings ------------------------------------------------------------------------------------

void SnapshotTree::ListWorkspaces(NodeId directory, off_t offset, bool with_attributes,
                                  const ListSink& sink) {
  // `.snapshots` first, then workspaces by id: positions stay valid while workspaces come and go.
  if (directory == kMountRootNode && offset == kFirstEntryOffset) {
    ListedName listed{.name = kSnapshotsName.data(),
                      .number = kAllSnapshotsNode,
                      .type = S_IFDIR,
                      .next = kFirstEntryOffset + 1,
                      .entry = std::nullopt};
    if (with_attributes) listed.entry = EntryOfList(kAllSnapshotsNode);
    if (!sink(listed)) return;
  }
  std::vector<WorkspaceRecord> records = store_.rows().ListWorkspaces();
  std::sort(records.begin(), records.end(),
            [](const auto& left, const auto& right) { return left.id < right.id; });
  constexpr int64_t kBeforeFirst = kFirstEntryOffset + 1;
  ListPosition position = ListPosition::Decode(std::max(offset, off_t{kBeforeFirst}));
  if (position.last == 0 && !records.empty()) position.last = records.back().id + kBeforeFirst - 1;
  for (const WorkspaceRecord& record : records) {
    if (record.id + kBeforeFirst <= position.next) continue;
    if (record.id + kBeforeFirst - 1 > position.last) return;
    position.next = record.id + kBeforeFirst;
    const NodeId list = MakeVirtualNode(VirtualKind::kRootList, static_cast<uint64_t>(record.id));
    ListedName listed{
        .name = record.name.c_str(),
        .number = directory == kMountRootNode ? MakeNumber(record.view, kRootInode) : list,
        .type = S_IFDIR,
        .next = position.Encode(),
        .entry = std::nullopt};
    if (with_attributes) {
      listed.entry = directory == kMountRootNode ? EntryOfWorkspace(record) : EntryOfList(list);
    }
    if (!sink(listed)) {
      if (listed.entry) files_.Forget(listed.entry->node, 1);
      return;
    }
  }
}

void SnapshotTree::ListSnapshots(const SnapshotList& list, off_t offset, bool with_attributes,
                                 const ListSink& sink) {
  constexpr size_t kBatch = 256;
  ListPosition position = ListPosition::Decode(offset);
  if (position.last == 0) {
    position.last = store_.rows().LargestSnapshotId(list.workspace.id) + kFirstEntryOffset - 1;
  }
  while (!position.AtEnd()) {
    const auto records =
        store_.rows().ListSnapshots(list.workspace.id, position.next - kFirstEntryOffset, kBatch);
    for (const SnapshotRecord& record : records) {
      if (record.id + kFirstEntryOffset - 1 > position.last) return;
      position.next = record.id + kFirstEntryOffset;
      ListedName listed{.name = record.name.c_str(),
                        .number = MakeNumber(record.view, kRootInode),
                        .type = S_IFDIR,
                        .next = position.Encode(),
                        .entry = std::nullopt};
      if (with_attributes) listed.entry = EntryOfSnapshot(record, list.place);
      if (!sink(listed)) {
        if (listed.entry) files_.Forget(listed.entry->node, 1);
        return;
      }
    }
    if (records.empty()) return;
  }
}

void SnapshotTree::Sync(NodeId directory) const {
  if (directory != kMountRootNode) return;
  for (const WorkspaceRecord& workspace : store_.rows().ListWorkspaces()) {
    try {
      store_.backend().Sync(workspace.volume);
    } catch (const Error& error) {
      // Its data is missing, or it was removed or rolled back just now.
      if (error.errno_value() != ENOENT) throw;
    }
  }
}

void SnapshotTree::List(NodeId directory, off_t offset, bool with_attributes,
                        const ListSink& sink) {
  // The positions of these two do not encode the end of the listing yet.
  for (; offset < kFirstEntryOffset; ++offset) {
    if (!sink({.name = offset == 0 ? "." : "..",
               .number = directory,
               .type = S_IFDIR,
               .next = offset + 1,
               .entry = std::nullopt})) {
      return;
    }
  }
  if (directory == kMountRootNode || directory == kAllSnapshotsNode) {
    ListWorkspaces(directory, offset, with_attributes, sink);
  } else if (const auto list = ListAt(directory)) {
    ListSnapshots(*list, offset, with_attributes, sink);
  }
}

}  // namespace ckptfs
