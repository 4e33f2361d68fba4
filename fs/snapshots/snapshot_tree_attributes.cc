// Attributes and extended attributes.
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/error.h"
#include "catalog/trees/names.h"
#include "fs/operations/rights.h"
#include "fs/snapshots/snapshot_tree.h"
#include "fs/snapshots/snapshot_tree_internal.h"
#include "fs/snapshots/snapshot_xattrs.h"

namespace ckptfs {
namespace {

constexpr mode_t kPermissionBits = 07777;
constexpr mode_t kOnlyOwnerWrites = 0755;
constexpr mode_t kAllRead = 0444;
constexpr mode_t kAllWrite = 0222;
constexpr int64_t kNsPerSecond = 1'000'000'000;

timespec TimeOf(int64_t time_ns) {
  return {.tv_sec = time_ns / kNsPerSecond, .tv_nsec = time_ns % kNsPerSecond};
}

Attributes MakeAttributes(uint64_t number, mode_t mode, const RootAttributes& owner,
                          int64_t time_ns) {
  Attributes attributes;
  struct stat& stat = attributes.stat;
  stat.st_ino = number;
  stat.st_mode = mode;
  stat.st_nlink = 1;  // as for directories on btrfs: "not counted"
  stat.st_uid = owner.uid;
  stat.st_gid = owner.gid;
  stat.st_blksize = 4096;
  stat.st_atim = stat.st_mtim = stat.st_ctim = TimeOf(time_ns);
  return attributes;
}

// Whether a list in the format of listxattr(2) has that name.
bool HasName(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const size_t end = list.find('\0');
    if (list.substr(0, end) == name) return true;
    list.remove_prefix(std::min(end, list.size() - 1) + 1);
  }
  return false;
}

}  // namespace

// ESTALE: the caller reached the node by a stale name, and has to walk once more.
std::shared_ptr<LiveWorkspace> SnapshotTree::LiveWorkspaceAt(int64_t workspace_id) const {
  try {
    return nodes_.workspaces.Get(workspace_id);
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    throw Error(ESTALE, "find a workspace", "it has been removed");
  }
}

RootAttributes SnapshotTree::RootOf(int64_t workspace_id) const {
  const auto live = LiveWorkspaceAt(workspace_id)->live();
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
    const auto view = nodes_.slots.Find(SlotOf(node));
    if (!view || !view->workspace) throw Error(ESTALE, "look at a workspace");
    const auto record = store_.rows().FindWorkspace(view->workspace->id());
    if (!record) throw Error(ESTALE, "look at a workspace");
    return RootWithoutData(*record);
  }
  if (!IsVirtual(node)) return RootOfSnapshot(SnapshotAt(node));
  const int64_t workspaces_changed = verbs_.WorkspacesChangedNs();
  const RootAttributes mount_root = store_.rows().MountRoot();
  switch (node) {
    // Every path walk through the mount needs these two. MountVerbs invalidates them when they change.
    case kMountRootNode:
    case kAllSnapshotsNode: {
      Attributes attributes = VirtualDirectory(node, mount_root, workspaces_changed);
      // .snapshots has the names of the mount root, visible to the same users. Nobody creates anything there.
      if (node == kAllSnapshotsNode) attributes.stat.st_mode &= S_IFDIR | kOnlyOwnerWrites;
      attributes.timeout_s = kForeverSeconds;
      return attributes;
    }
    case kMountControlNode:
      // Open to all users. The mount root's mode decides who may make workspaces, fs/operations/rights.h the
      // rest.
      return MakeAttributes(node, S_IFREG | kAllRead | (mount_root.mode & kAllWrite), mount_root,
                            workspaces_changed);
    default:
      break;
  }
  const int64_t id = static_cast<int64_t>(IdOf(node));
  switch (VirtualKindOf(node)) {
    case VirtualKind::kRootList:
    case VirtualKind::kInnerList: {
      Attributes attributes =
          VirtualDirectory(node, RootOf(id), store_.rows().SnapshotsChangedNs(id));
      attributes.timeout_s = kForeverSeconds;  // invalidated by ListsChanged
      return attributes;
    }
    case VirtualKind::kRootLive:
    case VirtualKind::kInnerLive: {
      const int64_t workspace = id >> kLiveTurnBits;
      return VirtualDirectory(node, RootOf(workspace), store_.rows().SnapshotsChangedNs(workspace));
    }
    case VirtualKind::kControl: {
      const RootAttributes root = RootOf(id);
      return MakeAttributes(node, S_IFREG | (root.mode & 0666), root,
                            store_.rows().SnapshotsChangedNs(id));
    }
    case VirtualKind::kLatest: {
      const auto record = store_.rows().FindSnapshot(id);
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
  // open(O_TRUNC) of a control file, as by shell redirection, changes nothing.
  if (ControlScope(node) && change.set_size && !change.set_mode && !change.set_uid) {
    return GetAttributes(node);
  }
  if (node != kMountRootNode || change.set_size) throw NotServed("change attributes");
  RootAttributes root = store_.rows().MountRoot();
  if (change.set_mode) root.mode = S_IFDIR | (change.mode & kPermissionBits);
  if (change.set_uid) root.uid = change.uid;
  if (change.set_gid) root.gid = change.gid;
  store_.SetMountRoot(root);
  invalidation_.kernel.InvalidateAttributes(kAllSnapshotsNode);
  return GetAttributes(node);
}

std::string SnapshotTree::ReadLink(NodeId node) const {
  const auto record = store_.rows().FindSnapshot(static_cast<int64_t>(IdOf(node)));
  if (!record) throw NoSuchName(kLatestName.data());
  return record->name;
}

std::optional<std::string> SnapshotTree::GetXattr(NodeId node, const char* name) {
  const bool is_acl = std::string_view(name) == XATTR_NAME_POSIX_ACL_ACCESS;
  if (!IsVirtual(node)) {
    if (IsSnapshotXattr(name)) return GetSnapshotXattr(store_, SnapshotAt(node), name);
    // `ls -l` asks each file for an ACL, security.selinux and so on: only existing xattrs cost a read.
    const auto view = nodes_.slots.Find(SlotOf(node));
    if (!view) throw Error(ESTALE, "find a snapshot");
    if (is_acl) {
      if (view->root.acl.empty()) return std::nullopt;
      return view->root.acl;
    }
    if (!HasName(view->root.xattr_names, name)) return std::nullopt;
    return files_.GetXattr(node, name);
  }
  // Lists and control files show the ACL of the workspace's root, since they have its permissions.
  const VirtualKind kind = VirtualKindOf(node);
  const bool is_workspaces = kind == VirtualKind::kRootList || kind == VirtualKind::kInnerList ||
                             kind == VirtualKind::kControl;
  if (!is_acl || !is_workspaces) return std::nullopt;
  const auto live = nodes_.workspaces.Get(static_cast<int64_t>(IdOf(node)))->live();
  if (!live->volume) return std::nullopt;
  std::string acl(XATTR_SIZE_MAX, '\0');
  const ssize_t size =
      fgetxattr(live->volume->root_fd(), XATTR_NAME_POSIX_ACL_ACCESS, acl.data(), acl.size());
  if (size < 0 && errno == ENODATA) return std::nullopt;
  CheckSyscall(size, "read an ACL");
  acl.resize(static_cast<size_t>(size));
  return acl;
}

std::string SnapshotTree::ListXattrs(NodeId node) {
  if (IsVirtual(node)) return {};
  return SnapshotXattrNames() + SnapshotAt(node).root.xattr_names;
}

SnapshotXattrValue SnapshotTree::CheckXattr(NodeId node, const char* name, std::string_view value) {
  if (IsVirtual(node)) throw NotServed("set an extended attribute");
  if (!IsSnapshotXattr(name)) throw Error(EROFS, "set an extended attribute of a snapshot");
  return CheckSnapshotXattr(name, value);
}

void SnapshotTree::SetXattr(NodeId node, const SnapshotXattrValue& value, int flags,
                            const Asker& asker) {
  const SnapshotRecord record = SnapshotAt(node);
  // The kernel has checked the snapshot's own mode, which is that of its time.
  const WorkspaceRecord workspace = WorkspaceById(record.workspace_id);
  RequireRight(store_, Right::kChangeSnapshot, asker,
               {.workspace = &workspace, .snapshot = &record});
  if ((flags & XATTR_CREATE) != 0) throw Error(EEXIST, "make an extended attribute");
  SetSnapshotXattr(verbs_, record, value);
}

void SnapshotTree::RemoveXattr(NodeId node, const char* name) {
  if (IsVirtual(node)) throw NotServed("remove an extended attribute");
  throw Error(IsSnapshotXattr(name) ? EPERM : EROFS, "remove an extended attribute of a snapshot");
}

Attributes SnapshotTree::RootOfSnapshot(const SnapshotRecord& record) const {
  Attributes attributes = MakeAttributes(MakeNumber(record.view, kRootInode), record.root.mode,
                                         record.root, record.created_ns);
  attributes.timeout_s = mount_.KeepSeconds();  // for the lifetime of the snapshot
  return attributes;
}

// Shown, so that its snapshots can be reached and it can be rolled back; everything in it fails with EIO.
Attributes SnapshotTree::RootWithoutData(const WorkspaceRecord& record) const {
  return VirtualDirectory(MakeNumber(record.view, kRootInode), {.mode = S_IFDIR | 0700, .acl = {}},
                          record.created_ns);
}

}  // namespace ckptfs
