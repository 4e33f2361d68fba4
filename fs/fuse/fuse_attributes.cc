// The adapter's handlers of requests for attributes.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>

#include "fs/fuse/fuse_handlers.h"
#include "fs/fuse/fuse_operations.h"
#include "fs/processes/asking_thread.h"

namespace ckptfs::fuse_handlers {
namespace {

// A listing needs no search permission and has the directory locked: to find the name for a file handle, the
// kernel lists the parent.
bool IsListing(const SystemCall& call) {
  return call.number == SYS_getdents64 || call.number == SYS_getdents ||
         call.number == SYS_open_by_handle_at;
}

// Whether a system call that changes names may have a directory locked when it requests the attributes of
// `node`. A rename also requests those of the directory that it moves, and may reach a workspace's root
// without walking through any directory of it.
LiveWorkspace::Holds LocksHeldBy(const SystemCall& call, NodeId node) {
  using Holds = LiveWorkspace::Holds;
  switch (call.number) {
    case SYS_rename:
    case SYS_renameat:
    case SYS_renameat2:
      return InodeOf(node) == kRootInode ? Holds::kPerhapsAgain : Holds::kPerhaps;
    case SYS_open:
      return (call.arguments[1] & O_CREAT) != 0 ? Holds::kPerhaps : Holds::kNothing;
    case SYS_openat:
      return (call.arguments[2] & O_CREAT) != 0 ? Holds::kPerhaps : Holds::kNothing;
    case SYS_stat:
    case SYS_lstat:
    case SYS_fstat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_access:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_readlink:
    case SYS_readlinkat:
    case SYS_chdir:
    case SYS_fchdir:
    case SYS_execve:
    case SYS_execveat:
    case SYS_statfs:
    case SYS_getxattr:
    case SYS_lgetxattr:
    case SYS_listxattr:
    case SYS_llistxattr:
    case SYS_inotify_add_watch:
      return Holds::kNothing;
    default:
      return Holds::kPerhaps;
  }
}

// Waits until that directory's names are settled. True if the request must be answered with ESTALE.
bool IsSentBack(fuse_req_t request, NodeId node, const WaitForNames& wait) {
  const pid_t thread = CallerOf(request).pid;
  const SystemCall call = SystemCallOf(thread);
  if (IsListing(call)) return false;
  return (wait.stopped && !wait.stopped->AwaitWalks(thread, LocksHeldBy(call, node))) ||
         HandlersOf(request).invalidation.stale_names.SendsBack(node, thread);
}

// What the catalog knows of a list or a snapshot.
struct statx StatxBy(const struct stat& from) {
  statx_timestamp time{};
  time.tv_sec = from.st_mtim.tv_sec;
  time.tv_nsec = static_cast<uint32_t>(from.st_mtim.tv_nsec);
  struct statx status {};
  status.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
  status.stx_blksize = static_cast<uint32_t>(from.st_blksize);
  status.stx_nlink = static_cast<uint32_t>(from.st_nlink);
  status.stx_uid = from.st_uid;
  status.stx_gid = from.st_gid;
  status.stx_mode = static_cast<uint16_t>(from.st_mode);
  status.stx_ino = from.st_ino;
  status.stx_size = static_cast<uint64_t>(from.st_size);
  status.stx_atime = status.stx_mtime = status.stx_ctime = status.stx_btime = time;
  return status;
}

AttributeChange ChangeOf(const struct stat& attributes, int valid, const AskedFile& file) {
  AttributeChange change;
  change.by_descriptor = file.is_given;
  // With KILLPRIV_V2 the kernel sends this one bit for both set-id bits.
  change.keep_set_id = (valid & FUSE_SET_ATTR_KILL_SUID) == 0;
  change.set_mode = (valid & FUSE_SET_ATTR_MODE) != 0;
  change.set_uid = (valid & FUSE_SET_ATTR_UID) != 0;
  change.set_gid = (valid & FUSE_SET_ATTR_GID) != 0;
  change.set_size = (valid & FUSE_SET_ATTR_SIZE) != 0;
  change.mode = attributes.st_mode;
  change.uid = attributes.st_uid;
  change.gid = attributes.st_gid;
  change.size = attributes.st_size;
  if ((valid & FUSE_SET_ATTR_ATIME_NOW) != 0) {
    change.atime.tv_nsec = UTIME_NOW;
  } else if ((valid & FUSE_SET_ATTR_ATIME) != 0) {
    change.atime = attributes.st_atim;
  }
  if ((valid & FUSE_SET_ATTR_MTIME_NOW) != 0) {
    change.mtime.tv_nsec = UTIME_NOW;
  } else if ((valid & FUSE_SET_ATTR_MTIME) != 0) {
    change.mtime = attributes.st_mtim;
  }
  return change;
}

}  // namespace

AttributesOf GetAttributes(fuse_req_t request, NodeId node, const AskedFile& /*file*/) {
  FuseHandlers& handlers = HandlersOf(request);
  return {node, handlers.snapshots.TellsAttributesOf(node) ? handlers.snapshots.GetAttributes(node)
                                                           : handlers.files.GetAttributes(node)};
}

StatxOf GetStatx(fuse_req_t request, NodeId node, int /*flags*/, int /*mask*/,
                 const AskedFile& /*file*/) {
  FuseHandlers& handlers = HandlersOf(request);
  StatxOf reply{.node = node};
  if (handlers.snapshots.TellsAttributesOf(node)) {
    const Attributes attributes = handlers.snapshots.GetAttributes(node);
    reply.status = StatxBy(attributes.stat);
    reply.timeout_s = attributes.timeout_s;
  } else {
    reply.status = handlers.files.GetStatx(node, reply.timeout_s);
  }
  return reply;
}

std::variant<AttributesOf, Failed> GetSettledAttributes(fuse_req_t request, NodeId node,
                                                        const AskedFile& file,
                                                        const WaitForNames& wait) {
  if (IsSentBack(request, node, wait)) return Failed{ESTALE};
  return GetAttributes(request, node, file);
}

std::variant<StatxOf, Failed> GetSettledStatx(fuse_req_t request, NodeId node, int flags, int mask,
                                              const AskedFile& file, const WaitForNames& wait) {
  if (IsSentBack(request, node, wait)) return Failed{ESTALE};
  return GetStatx(request, node, flags, mask, file);
}

AttributesOf SetAttributes(fuse_req_t request, NodeId node, const struct stat& attributes,
                           int valid, const AskedFile& file, Pages pages) {
  FuseHandlers& handlers = HandlersOf(request);
  const AttributeChange change = ChangeOf(attributes, valid, file);
  if (handlers.snapshots.Owns(node)) return {node, handlers.snapshots.SetAttributes(node, change)};
  return {node, handlers.files.SetAttributes(node, change, CallerOf(request), InGroupsOf(request),
                                             pages == Pages::kHeld)};
}

AttributesOf SetMountRootAttributes(fuse_req_t request, NodeId node, const struct stat& attributes,
                                    int valid, const AskedFile& file) {
  return {node,
          HandlersOf(request).snapshots.SetAttributes(node, ChangeOf(attributes, valid, file))};
}

LinkTarget ReadLink(fuse_req_t request, NodeId node) {
  FuseHandlers& handlers = HandlersOf(request);
  return {IsVirtual(node) ? handlers.snapshots.ReadLink(node) : handlers.files.ReadLink(node)};
}

struct statvfs GetStatfs(fuse_req_t request, NodeId /*node*/) {
  return HandlersOf(request).files.GetStatvfs();
}

}  // namespace ckptfs::fuse_handlers
