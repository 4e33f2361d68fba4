// The adapter's requests about attributes.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include <fcntl.h>
#include <linux/xattr.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/error.h"
#include "fs/fuse/fuse_answer.h"
#include "fs/fuse/fuse_operations.h"
#include "fs/processes/asking_thread.h"
#include "fs/snapshots/snapshot_xattrs.h"

namespace ckptfs {
namespace {

// Which asks for no permission to walk, and has the directory locked: to find the name of what a handle
// names, the kernel lists the parent.
bool IsListing(const SystemCall& call) {
  return call.number == SYS_getdents64 || call.number == SYS_getdents ||
         call.number == SYS_open_by_handle_at;
}

// Whether such a call, one that changes names, may have a directory locked when it asks for the attributes
// of `node`. A rename asks for those of the directory that it moves, too, and may have got to a workspace's
// root without a walk through any directory of it.
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

// For requests of attributes, by which the kernel finds out who may search a directory. They may have to
// wait (SettlingNames), or to be answered with ESTALE (StaleNames).
template <typename Handle>
void AnswerAttributes(fuse_req_t request, fuse_ino_t node, const char* operation,
                      const Handle& handle) {
  const FuseHandlers& handlers = HandlersOf(request);
  const pid_t thread = fuse_req_ctx(request)->pid;
  // Who settles the names cannot wait until they are.
  const auto stopped =
      thread == handlers.mount.helper.looker() ? nullptr : StoppedAt(handlers, node);
  if (!stopped && !handlers.mount.stale_names.Contains(node)) {
    Answer(request, operation, handle);
    return;
  }
  AnswerInWaitingRoom(request, operation, [request, node, thread, stopped, handle] {
    const SystemCall call = SystemCallOf(thread);
    const bool is_sent_back =
        !IsListing(call) && ((stopped && !stopped->AwaitWalks(thread, LocksHeldBy(call, node))) ||
                             HandlersOf(request).mount.stale_names.SendsBack(node, thread));
    if (is_sent_back) {
      ReplyError(request, ESTALE);
    } else {
      handle();
    }
  });
}

void GetAttributes(fuse_req_t request, fuse_ino_t node, fuse_file_info* /*file*/) {
  AnswerAttributes(request, node, "getattr", [=] {
    FuseHandlers& handlers = HandlersOf(request);
    ReplyAttributes(request, node,
                    handlers.snapshots.TellsAttributesOf(node)
                        ? handlers.snapshots.GetAttributes(node)
                        : handlers.files.GetAttributes(node));
  });
}

void GetStatx(fuse_req_t request, fuse_ino_t node, int /*flags*/, int /*mask*/,
              fuse_file_info* /*file*/) {
  AnswerAttributes(request, node, "statx", [=] {
    FuseHandlers& handlers = HandlersOf(request);
    struct statx status {};
    double timeout_s = 0;
    if (handlers.snapshots.TellsAttributesOf(node)) {
      const Attributes attributes = handlers.snapshots.GetAttributes(node);
      const struct stat& from = attributes.stat;
      statx_timestamp time{};
      time.tv_sec = from.st_mtim.tv_sec;
      time.tv_nsec = static_cast<uint32_t>(from.st_mtim.tv_nsec);
      status.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
      status.stx_blksize = static_cast<uint32_t>(from.st_blksize);
      status.stx_nlink = static_cast<uint32_t>(from.st_nlink);
      status.stx_uid = from.st_uid;
      status.stx_gid = from.st_gid;
      status.stx_mode = static_cast<uint16_t>(from.st_mode);
      status.stx_ino = from.st_ino;
      status.stx_size = static_cast<uint64_t>(from.st_size);
      status.stx_atime = status.stx_mtime = status.stx_ctime = status.stx_btime = time;
      timeout_s = attributes.timeout_s;
    } else {
      status = handlers.files.GetStatx(node, timeout_s);
    }
    if (!KeepsAttributes(handlers, node)) timeout_s = 0;
    Reply([&] { return fuse_reply_statx(request, 0, &status, timeout_s); });
  });
}

AttributeChange ChangeOf(const struct stat& attributes, int valid, bool by_descriptor) {
  AttributeChange change;
  change.by_descriptor = by_descriptor;
  // With KILLPRIV_V2 this one bit is what the kernel says of both.
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

void SetAttributes(fuse_req_t request, fuse_ino_t node, struct stat* attributes, int valid,
                   fuse_file_info* file) {
  const AttributeChange change = ChangeOf(*attributes, valid, file != nullptr);
  if (node == kMountRootNode) {  // which is a change of the store
    AnswerVerb(request, "setattr", node, {}, [=] {
      ReplyAttributes(request, node, HandlersOf(request).snapshots.SetAttributes(node, change));
    });
    return;
  }
  AnswerWithPages(request, "setattr", node, [=](bool holds_pages) {
    FuseHandlers& handlers = HandlersOf(request);
    ReplyAttributes(request, node,
                    handlers.snapshots.Owns(node)
                        ? handlers.snapshots.SetAttributes(node, change)
                        : handlers.files.SetAttributes(node, change, CallerOf(request),
                                                       InGroupsOf(request), holds_pages));
  });
}

void ReadLink(fuse_req_t request, fuse_ino_t node) {
  Answer(request, "readlink", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    const std::string target =
        IsVirtual(node) ? handlers.snapshots.ReadLink(node) : handlers.files.ReadLink(node);
    Reply([&] { return fuse_reply_readlink(request, target.c_str()); });
  });
}

// Replies with a value, or with its size if that is what was asked for.
void ReplyValue(fuse_req_t request, const std::string& value, size_t size) {
  if (size == 0) {
    Reply([&] { return fuse_reply_xattr(request, value.size()); });
  } else if (value.size() > size) {
    ReplyError(request, ERANGE);
  } else {
    ReplyBuffer(request, value.data(), value.size());
  }
}

// For a file that has no attribute of that name. `ls -l` asks each file for its label, a request to the
// daemon every time; told that there are none, it asks once for all.
int NoSuchXattr(const FuseHandlers& handlers, std::string_view name) {
  return name == XATTR_NAME_SELINUX && !handlers.has_selinux ? EOPNOTSUPP : ENODATA;
}

void GetXattr(fuse_req_t request, fuse_ino_t node, const char* name, size_t size) {
  const auto handle = [=, name = RequestText(name)] {
    FuseHandlers& handlers = HandlersOf(request);
    const std::optional<std::string> value = handlers.snapshots.Owns(node)
                                                 ? handlers.snapshots.GetXattr(node, name.c_str())
                                                 : handlers.files.GetXattr(node, name.c_str());
    if (value) {
      ReplyValue(request, *value, size);
    } else {
      ReplyError(request, NoSuchXattr(handlers, name.c_str()));
    }
  };
  // A snapshot's sizes are computed when they are asked for.
  if (IsSnapshotXattr(name)) {
    AnswerInWaitingRoom(request, "getxattr", handle);
  } else {
    Answer(request, "getxattr", handle);
  }
}

void ListXattrs(fuse_req_t request, fuse_ino_t node, size_t size) {
  Answer(request, "listxattr", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    ReplyValue(request,
               handlers.snapshots.Owns(node) ? handlers.snapshots.ListXattrs(node)
                                             : handlers.files.ListXattrs(node),
               size);
  });
}

void SetXattr(fuse_req_t request, fuse_ino_t node, const char* name, const char* value, size_t size,
              int flags) {
  FuseHandlers& handlers = HandlersOf(request);
  const std::string_view view(value, size);
  if (handlers.mount.write_barrier.Park(node, name, [request, ring = RingThread::Current()] {
        const AnswersFor answers(ring);
        ReplyError(request, MountHelper::kAnswer);
      })) {
    return;
  }
  if (!handlers.snapshots.Owns(node)) {
    // Copied, as the next request may come where this one's words are.
    const auto handle = [=, name = std::string(name), value = std::string(view)](bool holds_pages) {
      HandlersOf(request).files.SetXattr(node, name.c_str(), value, flags, CallerOf(request),
                                         InGroupsOf(request), holds_pages);
      ReplyError(request, 0);
    };
    if (std::string_view(name) == XATTR_NAME_CAPS) {
      AnswerWithPages(request, "setxattr", node, handle);
    } else {
      AnswerChange(request, "setxattr", [=] { handle(false); });
    }
    return;
  }
  AnswerVerb(request, "setxattr", node, {},
             [request, node, value = SnapshotTree::CheckXattr(node, name, view), flags] {
               HandlersOf(request).snapshots.SetXattr(node, value, flags, AskerOf(request));
               ReplyError(request, 0);
             });
}

void RemoveXattr(fuse_req_t request, fuse_ino_t node, const char* name) {
  AnswerChange(request, "removexattr", [=, name = RequestText(name)] {
    FuseHandlers& handlers = HandlersOf(request);
    if (handlers.snapshots.Owns(node)) {
      handlers.snapshots.RemoveXattr(node, name.c_str());
    } else {
      handlers.files.RemoveXattr(node, name.c_str());
    }
    ReplyError(request, 0);
  });
}

void GetStatfs(fuse_req_t request, fuse_ino_t /*node*/) {
  Answer(request, "statfs", [&] {
    const struct statvfs result = HandlersOf(request).files.GetStatvfs();
    Reply([&] { return fuse_reply_statfs(request, &result); });
  });
}

}  // namespace

void SetAttributeOperations(fuse_lowlevel_ops& operations) {
  operations.getattr = Callback<GetAttributes>::Call;
  operations.setattr = Callback<SetAttributes>::Call;
  operations.readlink = Callback<ReadLink>::Call;
  operations.statfs = Callback<GetStatfs>::Call;
  operations.setxattr = Callback<SetXattr>::Call;
  operations.getxattr = Callback<GetXattr>::Call;
  operations.listxattr = Callback<ListXattrs>::Call;
  operations.removexattr = Callback<RemoveXattr>::Call;
  operations.statx = Callback<GetStatx>::Call;
}

}  // namespace ckptfs
