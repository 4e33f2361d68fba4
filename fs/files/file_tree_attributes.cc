// FileTree: attributes, extended attributes and targets of symbolic links.
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

#include "backend/base/proc_path.h"
#include "catalog/store/unlinked_directory.h"
#include "fs/files/file_tree_internal.h"

namespace ckptfs {
namespace {

// How much of a file can be cut off in one step, in units of 512 bytes.
constexpr uint64_t kCutBlocksMax = static_cast<uint64_t>(Pieces::kFirstBytes) / 512;

// `call` fills a buffer and returns the size that it needs, as getxattr(2) does.
template <typename Call>
std::string ReadSized(std::string_view what, Call call) {
  std::string value(256, '\0');
  ssize_t size = call(value.data(), value.size());
  while (size < 0 && errno == ERANGE) {
    size = CheckSyscall(call(nullptr, 0), what);
    value.resize(static_cast<size_t>(size));
    size = call(value.data(), value.size());  // ERANGE again if the value grew meanwhile
  }
  CheckSyscall(size, what);
  value.resize(static_cast<size_t>(size));
  return value;
}

// ckptfs would take a program's value for one of its own, and would hide it.
void RefuseOwnXattr(const char* name) {
  if (!IsOwnXattr(name)) return;
  throw Error(EPERM, std::string("change ") + name, "the name is reserved for ckptfs",
              "Choose another name");
}

// Removes ckptfs's own attributes from a list as listxattr(2) returns it.
std::string WithoutOwnXattrs(const std::string& names) {
  std::string others;
  for (const char* name = names.data(); name < names.data() + names.size();
       name += std::strlen(name) + 1) {
    if (!IsOwnXattr(name)) others.append(name).push_back('\0');
  }
  return others;
}

}  // namespace

// Uses the descriptor of an open file if there is one. So open files stay readable in a volume that has been
// destroyed, where file handles no longer work.
FileTree::NodeFd FileTree::OpenPath(const Node& node) const {
  if (auto open = open_.files.AnyFd(node.id)) return NodeFd(std::move(open));
  if (!node.volume) throw Error(ESTALE, "find a file", "its snapshot has been deleted");
  const bool is_directory = node.view->kind == View::Kind::kLiveDirectories && !node.is_root;
  if (is_directory) {
    tidier_.Wake();
    return NodeFd(nodes_.directory_fds.Open(node.volume, node.file));
  }
  try {
    return NodeFd(node.volume->OpenInode(node.file, O_PATH | O_NOFOLLOW));
  } catch (const Error& error) {
    if (error.errno_value() != ESTALE) throw;
    // A rollback may have destroyed the volume since the check above; it has then given open files a
    // descriptor (KeepAllReachable).
    if (auto open = open_.files.AnyFd(node.id)) return NodeFd(std::move(open));
    throw;
  }
}

Attributes FileTree::GetAttributes(NodeId node_id) {
  const Node node = resolver_.Resolve(node_id);
  if (node.is_root) return AttributesBy(node, node.volume->root_fd());
  return AttributesBy(node, OpenPath(node).get());
}

Attributes FileTree::AttributesBy(const Node& node, int fd) const {
  open_.mapped.LookAgain(node.id);
  const Timeout timeout(*this, node.in_writing);
  const struct statx status = node.is_root ? StatxAt(fd, "") : open_.orphans.Stat(node.id, fd);
  const uint64_t inode = node.is_root ? kRootInode : status.stx_ino;
  return {.stat = StatOf(status, MakeNumber(node.view->number, inode)),
          .timeout_s = timeout.Of(node.id)};
}

struct statx FileTree::GetStatx(NodeId node_id, double& timeout_s) {
  const Node node = resolver_.Resolve(node_id);
  open_.mapped.LookAgain(node_id);
  const Timeout timeout(*this, node.in_writing);
  struct statx status = open_.orphans.Stat(node_id, OpenPath(node).get());
  status.stx_ino = MakeNumber(node.view->number, node.is_root ? kRootInode : status.stx_ino);
  status.stx_mask &= STATX_BASIC_STATS | STATX_BTIME;
  status.stx_attributes = status.stx_attributes_mask = 0;
  timeout_s = timeout.Of(node_id);
  return status;
}

void FileTree::ApplySize(const Node& node, int fd, const AttributeChange& change,
                         const InGroup& in_group) const {
  const KeepSetIdOf keep(change.keep_set_id, fd, in_group);
  if (change.by_descriptor) {
    const UniqueFd writable = OpenAnew(node, O_WRONLY);
    CheckSyscall(ftruncate(writable.get(), change.size), "change a size");
  } else {
    CheckSyscall(truncate(ProcPath(fd).c_str(), change.size), "change a size");
  }
}

// The new end of a file of `size` bytes after its next piece is cut off, on the way down to `end`. A hole
// before its end, however large, is one piece.
off_t FileTree::EndAfterCut(int fd, off_t size, off_t end, off_t piece) {
  const auto is_hole_from = [fd](off_t begin) { return lseek(fd, begin, SEEK_DATA) < 0; };
  off_t next = std::max(end, size - piece);
  if (!is_hole_from(next)) return next;
  for (off_t step = piece; next > end; step *= 2) {
    const off_t further = std::max(end, next - step);
    if (!is_hole_from(further)) break;
    next = further;
  }
  return next;
}

void FileTree::CutDown(NodeId node_id, const AttributeChange& change, const InGroup& in_group) {
  UniqueFd fd;
  off_t size = 0;
  {
    const Node node = resolver_.Resolve(node_id);
    const struct statx status = StatxAt(OpenPath(node).get(), "");
    size = static_cast<off_t>(status.stx_size);
    const bool is_long =
        status.stx_blocks > kCutBlocksMax && size - change.size > Pieces::kFirstBytes;
    if (!is_long || !node.workspace || !S_ISREG(status.stx_mode)) return;
    FreezeLock::BeforeLongWork();
    fd = OpenAnew(node, O_RDONLY);
  }
  const auto approach = ApproachFreezeLock(node_id);
  Pieces pieces(&store_.backend().right_of_way());
  AttributeChange cut = change;
  while ((size = EndAfterCut(fd.get(), size, change.size, pieces.bytes())) > change.size) {
    cut.size = size;
    pieces.Do([&] {
      const MutationGuard begun = BeginMutation(node_id);
      ApplySize(begun.node, OpenPath(begun.node).get(), cut, in_group);
    });
  }
}

// What can fail for lack of space comes first, while nothing has been changed yet.
void FileTree::ApplyAttributes(const Node& node, int fd, const AttributeChange& change,
                               const Caller& caller, const InGroup& in_group) const {
  if (change.set_size) ApplySize(node, fd, change, in_group);
  if (change.set_uid || change.set_gid) {
    const KeepSetIdOf keep(caller.uid == 0, fd, in_group,
                           change.set_gid ? std::optional(change.gid) : std::nullopt);
    CheckSyscall(fchownat(fd, "", change.set_uid ? change.uid : static_cast<uid_t>(-1),
                          change.set_gid ? change.gid : static_cast<gid_t>(-1), AT_EMPTY_PATH),
                 "change an owner");
  }
  if (change.set_mode) {
    const KeepSetId keep((change.mode & S_ISGID) != 0);  // the kernel has cleared forbidden bits
    CheckSyscall(chmod(ProcPath(fd).c_str(), change.mode & ~S_IFMT), "change a mode");
  }
  if (change.atime.tv_nsec != UTIME_OMIT || change.mtime.tv_nsec != UTIME_OMIT) {
    const timespec times[2] = {change.atime, change.mtime};
    CheckSyscall(utimensat(fd, "", times, AT_EMPTY_PATH), "change times");
  }
}

Attributes FileTree::SetAttributes(NodeId node_id, const AttributeChange& change,
                                   const Caller& caller, const InGroup& in_group,
                                   bool holds_pages) {
  // Otherwise the writeback of an earlier store through a mapping would overwrite the times.
  if (holds_pages && !change.set_size) open_.pages.WriteBack(node_id);
  if (change.set_size) CutDown(node_id, change, in_group);
  Attributes attributes;
  off_t old_size = change.size;
  {
    const MutationGuard begun = BeginMutation(node_id);
    const Node& node = begun.node;
    const NodeFd fd = OpenPath(node);
    if (holds_pages && change.set_size) {
      old_size = static_cast<off_t>(StatxAt(fd.get(), "").stx_size);
    }
    ApplyAttributes(node, fd.get(), change, caller, in_group);
    if (node.is_root) ListsChanged(kernel_, node.workspace->id());
    open_.files.AttributesChanged(node_id);
    attributes = AttributesBy(node, fd.get());  // saves another descriptor
  }
  // The new size becomes visible only with the answer: the kernel gets it from nowhere else meanwhile.
  if (holds_pages && change.set_size) open_.pages.SizeChanged(node_id, old_size, change.size);
  return attributes;
}

std::string FileTree::ReadLink(NodeId node_id) {
  const NodeFd fd = OpenPath(resolver_.Resolve(node_id));
  std::string target(PATH_MAX, '\0');
  const ssize_t size =
      CheckSyscall(readlinkat(fd.get(), "", target.data(), target.size()), "read a symlink");
  target.resize(static_cast<size_t>(size));
  return target;
}

std::optional<std::string> FileTree::GetXattr(NodeId node_id, const char* name) {
  // The kernel requests it at the first write to each file.
  if (std::string_view(name) == XATTR_NAME_CAPS && open_.files.HasNoCapability(node_id)) {
    return std::nullopt;
  }
  const Node node = resolver_.Resolve(node_id);
  if (node.workspace && IsOwnXattr(name)) return std::nullopt;  // as in ListXattrs
  const NodeFd fd = OpenPath(node);
  const ProcPath path(fd.get());
  bool found = true;
  std::string value = ReadSized("read an extended attribute", [&](char* buffer, size_t size) {
    const ssize_t result = getxattr(path.c_str(), name, buffer, size);
    found = result >= 0 || errno != ENODATA;
    return found ? result : 0;
  });
  if (!found) return std::nullopt;
  return value;
}

std::string FileTree::ListXattrs(NodeId node_id) {
  const Node node = resolver_.Resolve(node_id);
  const NodeFd fd = OpenPath(node);
  const ProcPath path(fd.get());
  std::string names = ReadSized("list extended attributes", [&](char* buffer, size_t size) {
    return listxattr(path.c_str(), buffer, size);
  });
  return node.workspace ? WithoutOwnXattrs(names) : names;
}

void FileTree::SetXattr(NodeId node_id, const char* name, std::string_view value, int flags,
                        const Caller& caller, const InGroup& in_group, bool holds_pages) {
  // Otherwise the writeback of an earlier store through a mapping would remove capabilities.
  if (holds_pages) open_.pages.WriteBack(node_id);
  const MutationGuard change = BeginMutation(node_id);
  RefuseOwnXattr(name);
  if (std::string_view(name) == XATTR_NAME_CAPS) open_.files.MayHaveCapability(node_id);
  const NodeFd fd = OpenPath(change.node);
  bool keep_set_gid = false;
  if (std::string_view(name) == XATTR_NAME_POSIX_ACL_ACCESS) {
    // An ACL also sets the mode, and clears the set-group-id bit if the caller is not in the group.
    const struct statx status = StatxAt(fd.get(), "");
    keep_set_gid =
        (status.stx_mode & S_ISGID) != 0 && (caller.uid == 0 || in_group(status.stx_gid));
  }
  const KeepSetId keep(keep_set_gid);
  CheckSyscall(setxattr(ProcPath(fd.get()).c_str(), name, value.data(), value.size(), flags),
               "set an extended attribute");
  if (change.node.is_root) ListsChanged(kernel_, change.node.workspace->id());
  open_.files.AttributesChanged(node_id);
}

void FileTree::RemoveXattr(NodeId node_id, const char* name) {
  const MutationGuard change = BeginMutation(node_id);
  RefuseOwnXattr(name);
  const NodeFd fd = OpenPath(change.node);
  CheckSyscall(removexattr(ProcPath(fd.get()).c_str(), name), "remove an extended attribute");
  if (change.node.is_root) ListsChanged(kernel_, change.node.workspace->id());
  open_.files.AttributesChanged(node_id);
}

struct statvfs FileTree::GetStatvfs() {
  constexpr uint64_t kBlockBytes = 4096;
  const SpaceInfo space = store_.backend().Space();
  struct statvfs result {};
  result.f_bsize = result.f_frsize = kBlockBytes;
  result.f_blocks = space.total_bytes / kBlockBytes;
  result.f_bfree = (space.total_bytes - space.used_bytes) / kBlockBytes;
  result.f_bavail = space.free_bytes / kBlockBytes;
  result.f_namemax = NAME_MAX;
  return result;
}

}  // namespace ckptfs
