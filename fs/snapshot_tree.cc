#include "fs/snapshot_tree.h"

#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend/base/error.h"
#include "catalog/names.h"
#include "fs/snapshot_xattrs.h"

namespace ckptfs {
namespace {

constexpr char kAccessAcl[] = "system.posix_acl_access";
constexpr mode_t kPermissionBits = 07777;
constexpr int64_t kNsPerSecond = 1'000'000'000;

// Listings of what no volume holds begin with "." and ".."; then come entries by database id.
constexpr off_t kFirstEntryOffset = 2;

timespec TimeOf(int64_t time_ns) {
  return {.tv_sec = time_ns / kNsPerSecond, .tv_nsec = time_ns % kNsPerSecond};
}

Attributes MakeAttributes(uint64_t number, mode_t mode, const RootAttributes& owner,
                          int64_t time_ns) {
  Attributes attributes;
  struct stat& stat = attributes.stat;
  stat.st_ino = number;
  stat.st_mode = mode;
  stat.st_nlink = 1;  // as btrfs says of directories: "not counted"
  stat.st_uid = owner.uid;
  stat.st_gid = owner.gid;
  stat.st_blksize = 4096;
  stat.st_atim = stat.st_mtim = stat.st_ctim = TimeOf(time_ns);
  return attributes;
}

Error NoSuchName(const char* name) { return Error(ENOENT, std::string("find ") + name); }

// A name that is only looked up need not be one that could be made, but ENAMETOOLONG must be told.
void CheckLength(const char* name) {
  if (std::string_view(name).size() > kMaxNameBytes) throw Error(ENAMETOOLONG, "look up a name");
}

uint64_t IdOf(NodeId node) { return VirtualPayloadOf(node); }

// Whether a list as listxattr(2) gives it holds that name.
bool HasName(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const size_t end = list.find('\0');
    if (list.substr(0, end) == name) return true;
    list.remove_prefix(std::min(end, list.size() - 1) + 1);
  }
  return false;
}

Error NotServed(const char* what) {
  return Error(EPERM, what, "this is not a place for it",
               "In .snapshots only mkdir, rmdir and the renames of ckptfs(7) do something");
}

}  // namespace

// --- Which node is what --------------------------------------------------------------------------

bool SnapshotTree::Owns(NodeId node) const {
  if (IsVirtual(node)) return true;
  if (InodeOf(node) != kRootInode) return false;
  const auto view = mount_.slots.Find(SlotOf(node));
  return view && view->kind == View::Kind::kSnapshot;
}

bool SnapshotTree::TellsAttributesOf(NodeId node) const {
  if (IsVirtual(node)) return true;
  if (InodeOf(node) != kRootInode) return false;
  const auto view = mount_.slots.Find(SlotOf(node));
  if (!view) return false;
  return view->workspace ? !view->workspace->live()->volume : view->kind == View::Kind::kSnapshot;
}

bool SnapshotTree::IsReserved(NodeId parent, const char* name) const {
  if (IsVirtual(parent) || InodeOf(parent) != kRootInode || !IsReservedInWorkspace(name)) {
    return false;
  }
  const auto view = mount_.slots.Find(SlotOf(parent));
  return view && view->kind == View::Kind::kLiveDirectories;
}

std::optional<std::optional<int64_t>> SnapshotTree::ControlScope(NodeId node) const {
  if (node == kMountControlNode) return std::optional<int64_t>{};
  if (!IsVirtual(node) || VirtualKindOf(node) != VirtualKind::kControl) return std::nullopt;
  return static_cast<int64_t>(IdOf(node));
}

WorkspaceRecord SnapshotTree::WorkspaceById(int64_t id) const {
  auto record = mount_.store.FindWorkspace(id);
  if (!record) throw Error(ENOENT, "find a workspace", "it has been removed");
  return *record;
}

std::optional<SnapshotTree::SnapshotList> SnapshotTree::ListAt(NodeId directory) const {
  if (!IsVirtual(directory)) return std::nullopt;
  const VirtualKind kind = VirtualKindOf(directory);
  if (kind != VirtualKind::kRootList && kind != VirtualKind::kInnerList) return std::nullopt;
  return SnapshotList{.workspace = WorkspaceById(static_cast<int64_t>(IdOf(directory))),
                      .place = kind == VirtualKind::kRootList ? Place::kRoot : Place::kInner};
}

SnapshotRecord SnapshotTree::SnapshotAt(NodeId node) const {
  const auto view = mount_.slots.Find(SlotOf(node));
  if (!view) throw Error(ESTALE, "find a snapshot");
  auto record = mount_.store.FindSnapshot(view->snapshot_id);
  if (!record) throw Error(ENOENT, "find a snapshot", "it has been deleted");
  return *record;
}

NodeId SnapshotTree::LiveNode(const SnapshotList& list) const {
  const uint64_t id = static_cast<uint64_t>(list.workspace.id);
  const uint64_t turn = mount_.workspaces.Get(list.workspace)->live_turn();
  const auto kind = list.place == Place::kRoot ? VirtualKind::kRootLive : VirtualKind::kInnerLive;
  return MakeVirtualNode(kind, id << kLiveTurnBits | (turn & ((uint64_t{1} << kLiveTurnBits) - 1)));
}

// --- Attributes ----------------------------------------------------------------------------------

RootAttributes SnapshotTree::RootOf(int64_t workspace_id) const {
  const auto live = mount_.workspaces.Get(workspace_id)->live();
  if (!live->volume) return {.mode = S_IFDIR | 0700, .acl = {}};
  const struct statx status = StatxAt(live->volume->root_fd(), "");
  return {.mode = status.stx_mode, .uid = status.stx_uid, .gid = status.stx_gid, .acl = {}};
}

Attributes SnapshotTree::VirtualDirectory(NodeId node, const RootAttributes& root,
                                          int64_t time_ns) const {
  return MakeAttributes(node, S_IFDIR | (root.mode & kPermissionBits), root, time_ns);
}

Attributes SnapshotTree::GetAttributes(NodeId node) {
  if (!Owns(node)) {
    const auto view = mount_.slots.Find(SlotOf(node));
    if (!view || !view->workspace) throw Error(ESTALE, "look at a workspace");
    const auto record = mount_.store.FindWorkspace(view->workspace->id());
    if (!record) throw Error(ESTALE, "look at a workspace");
    return RootWithoutData(*record);
  }
  if (!IsVirtual(node)) {  // the root of a snapshot
    const SnapshotRecord record = SnapshotAt(node);
    Attributes attributes = MakeAttributes(MakeNumber(record.view, kRootInode), record.root.mode,
                                           record.root, record.created_ns);
    attributes.timeout_s = mount_.KeepSeconds();  // for the life of a snapshot
    return attributes;
  }
  const int64_t workspaces_changed = verbs_.WorkspacesChangedNs();
  const RootAttributes nobody_elses{.mode = S_IFDIR | 0755, .acl = {}};
  switch (node) {
    // Every path walk through the mount needs these two. MountVerbs says when they change.
    case kMountRootNode:
    case kAllSnapshotsNode: {
      Attributes attributes =
          VirtualDirectory(node, node == kMountRootNode ? mount_.store.MountRoot() : nobody_elses,
                           workspaces_changed);
      attributes.timeout_s = kForeverSeconds;
      return attributes;
    }
    case kMountControlNode:
      return MakeAttributes(node, S_IFREG | 0644, nobody_elses, workspaces_changed);
    default:
      break;
  }
  const int64_t id = static_cast<int64_t>(IdOf(node));
  switch (VirtualKindOf(node)) {
    case VirtualKind::kRootList:
    case VirtualKind::kInnerList: {
      Attributes attributes =
          VirtualDirectory(node, RootOf(id), mount_.store.SnapshotsChangedNs(id));
      attributes.timeout_s = kForeverSeconds;  // MountContext::ListsChanged
      return attributes;
    }
    case VirtualKind::kRootLive:
    case VirtualKind::kInnerLive: {
      const int64_t workspace = id >> kLiveTurnBits;
      return VirtualDirectory(node, RootOf(workspace), mount_.store.SnapshotsChangedNs(workspace));
    }
    case VirtualKind::kControl: {
      const RootAttributes root = RootOf(id);
      return MakeAttributes(node, S_IFREG | (root.mode & 0666), root,
                            mount_.store.SnapshotsChangedNs(id));
    }
    case VirtualKind::kLatest: {
      const auto record = mount_.store.FindSnapshot(id);
      if (!record) throw NoSuchName(kLatestName.data());
      Attributes attributes = MakeAttributes(node, S_IFLNK | 0777, {}, record->created_ns);
      attributes.stat.st_size = static_cast<off_t>(record->name.size());
      return attributes;
    }
    case VirtualKind::kSingle:
      break;
  }
  throw Error(ESTALE, "find a file");
}

Attributes SnapshotTree::SetAttributes(NodeId node, const AttributeChange& change) {
  if (!IsVirtual(node)) throw Error(EROFS, "change a snapshot");
  // open(O_TRUNC) of a control file, as a shell's redirection does it, changes nothing.
  if (ControlScope(node) && change.set_size && !change.set_mode && !change.set_uid) {
    return GetAttributes(node);
  }
  if (node != kMountRootNode || change.set_size) throw NotServed("change attributes");
  RootAttributes root = mount_.store.MountRoot();
  if (change.set_mode) root.mode = S_IFDIR | (change.mode & kPermissionBits);
  if (change.set_uid) root.uid = change.uid;
  if (change.set_gid) root.gid = change.gid;
  mount_.store.SetMountRoot(root);
  return GetAttributes(node);
}

std::string SnapshotTree::ReadLink(NodeId node) const {
  const auto record = mount_.store.FindSnapshot(static_cast<int64_t>(IdOf(node)));
  if (!record) throw NoSuchName(kLatestName.data());
  return record->name;
}

std::optional<std::string> SnapshotTree::GetXattr(NodeId node, const char* name) {
  const bool is_acl = std::string_view(name) == kAccessAcl;
  if (!IsVirtual(node)) {
    if (IsSnapshotXattr(name)) return GetSnapshotXattr(mount_.store, SnapshotAt(node), name);
    // `ls -l` asks for an ACL, security.selinux and the like of each: only what is there costs a look.
    const auto view = mount_.slots.Find(SlotOf(node));
    if (!view) throw Error(ESTALE, "find a snapshot");
    if (is_acl) {
      if (view->root.acl.empty()) return std::nullopt;
      return view->root.acl;
    }
    if (!HasName(view->root.xattr_names, name)) return std::nullopt;
    return FileTree(mount_).GetXattr(node, name);
  }
  // Lists and control files show the ACL of the workspace's root, whose permissions they have.
  const VirtualKind kind = VirtualKindOf(node);
  const bool is_workspaces = kind == VirtualKind::kRootList || kind == VirtualKind::kInnerList ||
                             kind == VirtualKind::kControl;
  if (!is_acl || !is_workspaces) return std::nullopt;
  const auto live = mount_.workspaces.Get(static_cast<int64_t>(IdOf(node)))->live();
  if (!live->volume) return std::nullopt;
  std::string acl(XATTR_SIZE_MAX, '\0');
  const ssize_t size = fgetxattr(live->volume->root_fd(), kAccessAcl, acl.data(), acl.size());
  if (size < 0 && errno == ENODATA) return std::nullopt;
  CheckSyscall(size, "read an ACL");
  acl.resize(static_cast<size_t>(size));
  return acl;
}

std::string SnapshotTree::ListXattrs(NodeId node) {
  if (IsVirtual(node)) return {};
  return SnapshotXattrNames() + SnapshotAt(node).root.xattr_names;
}

void SnapshotTree::SetXattr(NodeId node, const char* name, std::string_view value, int flags) {
  if (IsVirtual(node)) throw NotServed("set an extended attribute");
  if (!IsSnapshotXattr(name)) throw Error(EROFS, "set an extended attribute of a snapshot");
  const SnapshotRecord record = SnapshotAt(node);
  if ((flags & XATTR_CREATE) != 0) throw Error(EEXIST, "make an extended attribute");
  SetSnapshotXattr(verbs_, record, name, value);
}

void SnapshotTree::RemoveXattr(NodeId node, const char* name) {
  if (IsVirtual(node)) throw NotServed("remove an extended attribute");
  throw Error(IsSnapshotXattr(name) ? EPERM : EROFS, "remove an extended attribute of a snapshot");
}

// --- Names ---------------------------------------------------------------------------------------

Entry SnapshotTree::EntryOfVirtual(NodeId node) {
  return Entry{.node = node, .attributes = GetAttributes(node)};
}

Entry SnapshotTree::EntryOfWorkspace(const WorkspaceRecord& record) {
  const auto workspace = mount_.workspaces.Get(record);
  Entry entry{.node = workspace->AcquireRoot()};
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

// Shown, so that its snapshots can be reached and it can be rolled back; anything in it is EIO.
Attributes SnapshotTree::RootWithoutData(const WorkspaceRecord& record) const {
  return VirtualDirectory(MakeNumber(record.view, kRootInode), {.mode = S_IFDIR | 0700, .acl = {}},
                          record.created_ns);
}

Entry SnapshotTree::EntryOfSnapshot(const SnapshotRecord& record, Place place) {
  const auto view = mount_.slots.AcquireSnapshot(record, place);
  Entry entry{.node = MakeNumber(view->slot, kRootInode)};
  entry.attributes = MakeAttributes(MakeNumber(record.view, kRootInode), record.root.mode,
                                    record.root, record.created_ns);
  entry.attributes.timeout_s = entry.entry_timeout_s = mount_.KeepSeconds();
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
  const auto record = mount_.store.FindWorkspace(name);
  return record ? EntryOfWorkspace(*record) : Entry{};
}

Entry SnapshotTree::LookupInAllSnapshots(const char* name) {
  const auto record = mount_.store.FindWorkspace(name);
  if (!record) return Entry{};
  return EntryOfList(MakeVirtualNode(VirtualKind::kRootList, static_cast<uint64_t>(record->id)));
}

Entry SnapshotTree::LookupInList(const SnapshotList& list, const char* name) {
  if (name == kLiveName) return EntryOfVirtual(LiveNode(list));
  if (name == kLatestName) {
    const auto newest = mount_.store.LatestSnapshot(list.workspace.id);
    if (!newest) return Entry{};
    return EntryOfVirtual(MakeVirtualNode(VirtualKind::kLatest, static_cast<uint64_t>(newest->id)));
  }
  const auto record = mount_.store.FindSnapshot(list.workspace.id, name);
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
  const auto view = mount_.slots.Find(SlotOf(parent));
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
        NewDirectoryBelow(mount_.store.MountRoot(), mode & ~caller.umask, caller.uid, caller.gid);
    return EntryOfWorkspace(verbs_.CreateWorkspace(name, root, {}));
  }
  const auto list = ListAt(parent);
  if (!list) throw NotServed("make a directory");
  CheckName("snapshot", name);  // the request's empty name would ask for one to be made up
  return EntryOfSnapshot(verbs_.Checkpoint(list->workspace.id, {.name = name}), list->place);
}

void SnapshotTree::RemoveDirectory(NodeId parent, const char* name) {
  if (parent == kMountRootNode && name != kSnapshotsName) {
    const auto record = mount_.store.FindWorkspace(name);
    if (!record) throw NoSuchName(name);
    verbs_.RemoveWorkspace(*record);
    return;
  }
  const auto list = ListAt(parent);
  if (!list || name == kLiveName) throw NotServed("remove a directory");
  const auto record = mount_.store.FindSnapshot(list->workspace.id, name);
  if (!record) throw NoSuchName(name);
  verbs_.DeleteSnapshot(record->id, false);
}

// --- Renames -------------------------------------------------------------------------------------

void SnapshotTree::Rename(NodeId parent, const char* name, NodeId new_parent, const char* new_name,
                          unsigned int flags) {
  // An exchange is the same whichever of the two is named first.
  const bool is_backwards =
      ListAt(new_parent) && new_name != kLiveName && (!ListAt(parent) || name == kLiveName);
  if ((flags & RENAME_EXCHANGE) != 0 && is_backwards) {
    std::swap(parent, new_parent);
    std::swap(name, new_name);
  }
  if (const auto list = ListAt(parent)) {
    RenameSnapshot(*list, name, new_parent, new_name, flags);
    return;
  }
  if (parent == kMountRootNode && new_parent == kMountRootNode) {
    const auto record = mount_.store.FindWorkspace(name);
    if (!record || (flags & RENAME_EXCHANGE) != 0) throw NotServed("rename");
    verbs_.RenameWorkspace(*record, new_name);
    return;
  }
  const auto is_snapshot_content = [this](NodeId node) {
    const auto view = IsVirtual(node) ? nullptr : mount_.slots.Find(SlotOf(node));
    return view && view->kind == View::Kind::kSnapshot;
  };
  if (is_snapshot_content(parent) || is_snapshot_content(new_parent)) {
    throw Error(EROFS, "rename a file of a snapshot");
  }
  // A directory of a workspace that is moved to the mount root becomes a workspace by copying, as
  // mv does on EXDEV; there is no other rename between here and a volume.
  if (!IsVirtual(parent) && new_parent == kMountRootNode && (flags & RENAME_EXCHANGE) == 0) {
    throw Error(EXDEV, "move a file out of its workspace");
  }
  throw NotServed("rename");
}

void SnapshotTree::RenameSnapshot(const SnapshotList& list, const char* name, NodeId new_parent,
                                  const char* new_name, unsigned int flags) {
  const auto snapshot = mount_.store.FindSnapshot(list.workspace.id, name);
  if (!snapshot) {
    if (name == kLatestName || name == kLiveName) throw NotServed("rename");
    // The kernel has just found it: it went by the other list, which has locks of its own, or by
    // the control file.
    throw NoSuchName(name);
  }
  if (new_parent == kMountRootNode) {
    RenameToMountRoot(*snapshot, list.place, new_name, flags);
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
        {.workspace_id = list.workspace.id, .snapshot_id = snapshot->id, .mode = mode});
    return;
  }
  if ((flags & RENAME_EXCHANGE) != 0) throw NotServed("exchange two snapshots");
  verbs_.RenameSnapshot(*snapshot, new_name);
}

void SnapshotTree::RenameToMountRoot(const SnapshotRecord& snapshot, Place place,
                                     const char* new_name, unsigned int flags) {
  const auto target = mount_.store.FindWorkspace(new_name);
  if (!target) {
    if ((flags & RENAME_EXCHANGE) != 0 || IsReservedInWorkspace(new_name))
      throw NotServed("rename");
    verbs_.Fork(snapshot.id, new_name);
    return;
  }
  if ((flags & RENAME_NOREPLACE) != 0) throw Error(EEXIST, "rename a snapshot");
  // W/.snapshots/S over W: the kernel refuses that with the same errnos, but for a W that another
  // rename has put there between its two path walks. Served, it would leave a directory below itself
  // in the kernel's books, and whoever walks there would get ELOOP.
  if (place == Place::kInner && target->id == snapshot.workspace_id) {
    throw Error((flags & RENAME_EXCHANGE) != 0 ? EINVAL : ENOTEMPTY,
                "move a snapshot over the workspace that it lies in", {},
                "Use .live, or the snapshot's name in the mount's .snapshots");
  }
  RollbackRequest request{.workspace_id = target->id, .snapshot_id = snapshot.id};
  if ((flags & RENAME_EXCHANGE) != 0) {
    // The state before would have to take a name in the list of another workspace.
    if (target->id != snapshot.workspace_id) throw NotServed("exchange with another workspace");
    request.mode = ExchangeMode::kExchange;
  }
  verbs_.RollbackByName(request);
}

// --- Listings ------------------------------------------------------------------------------------

void SnapshotTree::ListWorkspaces(NodeId directory, off_t offset, bool with_attributes,
                                  const ListSink& sink) {
  // `.snapshots` first, then workspaces by id: a position stays right while others come and go.
  if (directory == kMountRootNode && offset == kFirstEntryOffset) {
    ListedName listed{.name = kSnapshotsName.data(),
                      .number = kAllSnapshotsNode,
                      .type = S_IFDIR,
                      .next = kFirstEntryOffset + 1,
                      .entry = std::nullopt};
    if (with_attributes) listed.entry = EntryOfList(kAllSnapshotsNode);
    if (!sink(listed)) return;
  }
  const int64_t after = std::max<off_t>(offset - kFirstEntryOffset - 1, 0);
  std::vector<WorkspaceRecord> records = mount_.store.ListWorkspaces();
  std::sort(records.begin(), records.end(),
            [](const auto& left, const auto& right) { return left.id < right.id; });
  for (const WorkspaceRecord& record : records) {
    if (record.id <= after) continue;
    const NodeId list = MakeVirtualNode(VirtualKind::kRootList, static_cast<uint64_t>(record.id));
    ListedName listed{
        .name = record.name.c_str(),
        .number = directory == kMountRootNode ? MakeNumber(record.view, kRootInode) : list,
        .type = S_IFDIR,
        .next = record.id + kFirstEntryOffset + 1,
        .entry = std::nullopt};
    if (with_attributes) {
      listed.entry = directory == kMountRootNode ? EntryOfWorkspace(record) : EntryOfList(list);
    }
    if (!sink(listed)) {
      if (listed.entry) FileTree(mount_).Forget(listed.entry->node, 1);
      return;
    }
  }
}

void SnapshotTree::ListSnapshots(const SnapshotList& list, off_t offset, bool with_attributes,
                                 const ListSink& sink) {
  constexpr size_t kBatch = 256;
  int64_t after = offset - kFirstEntryOffset;
  while (true) {
    const auto records = mount_.store.ListSnapshots(list.workspace.id, after, kBatch);
    for (const SnapshotRecord& record : records) {
      ListedName listed{.name = record.name.c_str(),
                        .number = MakeNumber(record.view, kRootInode),
                        .type = S_IFDIR,
                        .next = record.id + kFirstEntryOffset,
                        .entry = std::nullopt};
      if (with_attributes) listed.entry = EntryOfSnapshot(record, list.place);
      if (!sink(listed)) {
        if (listed.entry) FileTree(mount_).Forget(listed.entry->node, 1);
        return;
      }
      after = record.id;
    }
    if (records.size() < kBatch) return;
  }
}

void SnapshotTree::List(NodeId directory, off_t offset, bool with_attributes,
                        const ListSink& sink) {
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
