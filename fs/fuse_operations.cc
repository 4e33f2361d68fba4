#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse_operations.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <vector>

#include "backend/base/error.h"
#include "fs/control_protocol.h"

namespace ckptfs {
namespace {

FuseHandlers& HandlersOf(fuse_req_t request) {
  return *static_cast<FuseHandlers*>(fuse_req_userdata(request));
}

Caller CallerOf(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return {.uid = context->uid,
          .gid = context->gid,
          .pid = context->pid,
          .umask = context->umask & 0777};
}

bool IsInGroup(fuse_req_t request, gid_t group) {
  if (fuse_req_ctx(request)->gid == group) return true;
  std::vector<gid_t> groups(64);
  int count = fuse_req_getgroups(request, static_cast<int>(groups.size()), groups.data());
  if (count > static_cast<int>(groups.size())) {
    groups.resize(static_cast<size_t>(count));
    count = fuse_req_getgroups(request, count, groups.data());
  }
  if (count < 0) return false;
  groups.resize(std::min(groups.size(), static_cast<size_t>(count)));
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

// Runs `handle`, which replies; replies with the errno of what it throws. The only place where an
// exception meets the kernel.
template <typename Handle>
void AnswerOnce(fuse_req_t request, const char* operation, const Handle& handle) noexcept {
  int error_number = EIO;
  try {
    PrepareWorkerThread();
    handle();
    return;
  } catch (const Error& error) {
    error_number = error.errno_value();
    if (error_number == EIO)
      spdlog::error("{}: {}", operation, error.what());
    else
      spdlog::debug("{}: {}", operation, error.what());
  } catch (const std::bad_alloc&) {
    error_number = ENOMEM;
  } catch (const std::exception& error) {
    spdlog::error("{}: {}", operation, error.what());
  }
  fuse_reply_err(request, error_number);
}

// The same for requests that may meet a rollback. One that has chosen the volume before the switch
// can find that volume destroyed, and in the restored one it would have succeeded: it is done again.
template <typename Handle>
void Answer(fuse_req_t request, const char* operation, const Handle& handle) noexcept {
  AnswerOnce(request, operation, [&] {
    const std::atomic<uint64_t>& switches = HandlersOf(request).mount.switches;
    uint64_t before = 0;
    do {
      before = switches;
      try {
        handle();
        return;
      } catch (const Error& error) {
        const bool is_gone = error.errno_value() == ENOENT || error.errno_value() == ESTALE;
        if (!is_gone || switches == before) throw;
      }
    } while (true);
  });
}

// On the thread for verbs, which take long and wait for other requests.
template <typename Handle>
void AnswerLater(fuse_req_t request, const char* operation, Handle handle) {
  HandlersOf(request).verb_thread.Post(
      [request, operation, handle = std::move(handle)] { AnswerOnce(request, operation, handle); });
}

fuse_entry_param EntryParam(const Entry& entry) {
  fuse_entry_param param{};
  param.ino = entry.node;
  param.generation = entry.generation;
  param.attr = entry.attributes.stat;
  param.attr_timeout = entry.attributes.timeout_s;
  param.entry_timeout = entry.entry_timeout_s;
  return param;
}

void ReplyEntry(fuse_req_t request, const Entry& entry) {
  const fuse_entry_param param = EntryParam(entry);
  FuseHandlers& handlers = HandlersOf(request);  // the request is gone after the reply
  if (fuse_reply_entry(request, &param) != 0 && entry.node != 0) {
    handlers.files.Forget(entry.node, 1);
  }
}

void ReplyAttributes(fuse_req_t request, const Attributes& attributes) {
  fuse_reply_attr(request, &attributes.stat, attributes.timeout_s);
}

// --- Names ---------------------------------------------------------------------------------------

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Answer(request, "lookup", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    if (handlers.snapshots.IsReserved(parent, name)) {
      ReplyEntry(request, handlers.snapshots.LookupReserved(parent, name));
    } else if (IsVirtual(parent)) {
      ReplyEntry(request, handlers.snapshots.Lookup(parent, name));
    } else {
      ReplyEntry(request, handlers.files.Lookup(parent, name));
    }
  });
}

void Forget(fuse_req_t request, fuse_ino_t node, uint64_t lookups) {
  if (!IsVirtual(node)) HandlersOf(request).files.Forget(node, lookups);
  fuse_reply_none(request);
}

void ForgetMany(fuse_req_t request, size_t count, fuse_forget_data* forgets) {
  for (size_t i = 0; i < count; ++i) {
    if (!IsVirtual(forgets[i].ino)) {
      HandlersOf(request).files.Forget(forgets[i].ino, forgets[i].nlookup);
    }
  }
  fuse_reply_none(request);
}

// What is not a directory cannot be made where no volume is.
void RefuseVirtual(NodeId parent, const char* what) {
  if (!IsVirtual(parent)) return;
  throw Error(EPERM, what, "only workspaces and snapshots can be made here", "Use mkdir");
}

void MakeNode(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  Answer(request, "mknod", [&] {
    RefuseVirtual(parent, "make a file");
    ReplyEntry(request,
               HandlersOf(request).files.MakeNode(parent, name, mode, device, CallerOf(request)));
  });
}

void MakeDirectory(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  if (!IsVirtual(parent)) {
    Answer(request, "mkdir", [&] {
      ReplyEntry(request,
                 HandlersOf(request).files.MakeDirectory(parent, name, mode, CallerOf(request)));
    });
    return;
  }
  AnswerLater(request, "mkdir", [request, parent, name = std::string(name), mode] {
    ReplyEntry(request, HandlersOf(request).snapshots.MakeDirectory(parent, name.c_str(), mode,
                                                                    CallerOf(request)));
  });
}

void MakeSymlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  Answer(request, "symlink", [&] {
    RefuseVirtual(parent, "make a symlink");
    ReplyEntry(request,
               HandlersOf(request).files.MakeSymlink(parent, name, target, CallerOf(request)));
  });
}

void MakeLink(fuse_req_t request, fuse_ino_t node, fuse_ino_t new_parent, const char* new_name) {
  Answer(request, "link", [&] {
    RefuseVirtual(new_parent, "link a file");
    RefuseVirtual(node, "link a file");
    ReplyEntry(request, HandlersOf(request).files.MakeLink(node, new_parent, new_name));
  });
}

void Unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Answer(request, "unlink", [&] {
    RefuseVirtual(parent, "remove a file");
    HandlersOf(request).files.Unlink(parent, name);
    fuse_reply_err(request, 0);
  });
}

void RemoveDirectory(fuse_req_t request, fuse_ino_t parent, const char* name) {
  FuseHandlers& handlers = HandlersOf(request);
  if (!IsVirtual(parent) && !handlers.snapshots.IsReserved(parent, name)) {
    Answer(request, "rmdir", [&] {
      handlers.files.RemoveDirectory(parent, name);
      fuse_reply_err(request, 0);
    });
    return;
  }
  AnswerLater(request, "rmdir", [request, parent, name = std::string(name)] {
    HandlersOf(request).snapshots.RemoveDirectory(parent, name.c_str());
    fuse_reply_err(request, 0);
  });
}

void Rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned int flags) {
  FuseHandlers& handlers = HandlersOf(request);
  const SnapshotTree& snapshots = handlers.snapshots;
  const bool concerns_snapshots = snapshots.Owns(parent) || snapshots.Owns(new_parent) ||
                                  snapshots.IsReserved(parent, name) ||
                                  snapshots.IsReserved(new_parent, new_name);
  if (!concerns_snapshots) {
    Answer(request, "rename", [&] {
      handlers.files.Rename(parent, name, new_parent, new_name, flags, CallerOf(request));
      fuse_reply_err(request, 0);
    });
    return;
  }
  AnswerLater(request, "rename",
              [request, parent, name = std::string(name), new_parent,
               new_name = std::string(new_name), flags] {
                HandlersOf(request).snapshots.Rename(parent, name.c_str(), new_parent,
                                                     new_name.c_str(), flags);
                fuse_reply_err(request, 0);
              });
}

// --- Attributes ----------------------------------------------------------------------------------

void GetAttributes(fuse_req_t request, fuse_ino_t node, fuse_file_info* /*file*/) {
  Answer(request, "getattr", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    ReplyAttributes(request, handlers.snapshots.TellsAttributesOf(node)
                                 ? handlers.snapshots.GetAttributes(node)
                                 : handlers.files.GetAttributes(node));
  });
}

void GetStatx(fuse_req_t request, fuse_ino_t node, int /*flags*/, int /*mask*/,
              fuse_file_info* /*file*/) {
  Answer(request, "statx", [&] {
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
    fuse_reply_statx(request, 0, &status, timeout_s);
  });
}

AttributeChange ChangeOf(const struct stat& attributes, int valid, bool by_descriptor) {
  AttributeChange change;
  change.by_descriptor = by_descriptor;
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
  Answer(request, "setattr", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    const AttributeChange change = ChangeOf(*attributes, valid, file != nullptr);
    ReplyAttributes(request, handlers.snapshots.Owns(node)
                                 ? handlers.snapshots.SetAttributes(node, change)
                                 : handlers.files.SetAttributes(node, change, CallerOf(request)));
  });
}

void ReadLink(fuse_req_t request, fuse_ino_t node) {
  Answer(request, "readlink", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    const std::string target =
        IsVirtual(node) ? handlers.snapshots.ReadLink(node) : handlers.files.ReadLink(node);
    fuse_reply_readlink(request, target.c_str());
  });
}

// Replies with a value, or with its size if that is what was asked for.
void ReplyValue(fuse_req_t request, const std::string& value, size_t size) {
  if (size == 0) {
    fuse_reply_xattr(request, value.size());
  } else if (value.size() > size) {
    fuse_reply_err(request, ERANGE);
  } else {
    fuse_reply_buf(request, value.data(), value.size());
  }
}

void GetXattr(fuse_req_t request, fuse_ino_t node, const char* name, size_t size) {
  Answer(request, "getxattr", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    ReplyValue(request,
               handlers.snapshots.Owns(node) ? handlers.snapshots.GetXattr(node, name)
                                             : handlers.files.GetXattr(node, name),
               size);
  });
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
  if (handlers.mount.write_stop.Park(
          node, name, view, [request] { fuse_reply_err(request, WriteStopHelper::kAnswer); })) {
    return;
  }
  if (!handlers.snapshots.Owns(node)) {
    Answer(request, "setxattr", [&] {
      handlers.files.SetXattr(node, name, view, flags, CallerOf(request),
                              [&](gid_t group) { return IsInGroup(request, group); });
      fuse_reply_err(request, 0);
    });
    return;
  }
  AnswerLater(request, "setxattr",
              [request, node, name = std::string(name), value = std::string(view), flags] {
                HandlersOf(request).snapshots.SetXattr(node, name.c_str(), value, flags);
                fuse_reply_err(request, 0);
              });
}

void RemoveXattr(fuse_req_t request, fuse_ino_t node, const char* name) {
  Answer(request, "removexattr", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    if (handlers.snapshots.Owns(node)) {
      handlers.snapshots.RemoveXattr(node, name);
    } else {
      handlers.files.RemoveXattr(node, name);
    }
    fuse_reply_err(request, 0);
  });
}

void GetStatfs(fuse_req_t request, fuse_ino_t /*node*/) {
  Answer(request, "statfs", [&] {
    const struct statvfs result = HandlersOf(request).files.GetStatvfs();
    fuse_reply_statfs(request, &result);
  });
}

// --- Listings ------------------------------------------------------------------------------------

// Fills one reply to READDIR or READDIRPLUS.
class ListReply {
 public:
  ListReply(fuse_req_t request, size_t size) : request_(request), buffer_(size) {}

  bool Add(const ListedName& listed, bool with_attributes) {
    fuse_entry_param param{};
    if (listed.entry) param = EntryParam(*listed.entry);
    if (!listed.entry) {  // "no lookup counted": the kernel looks it up when it needs it
      param.attr.st_ino = listed.number;
      param.attr.st_mode = listed.type;
    }
    char* end = buffer_.data() + used_;
    const size_t room = buffer_.size() - used_;
    const size_t needed =
        with_attributes
            ? fuse_add_direntry_plus(request_, end, room, listed.name, &param, listed.next)
            : fuse_add_direntry(request_, end, room, listed.name, &param.attr, listed.next);
    if (needed > room) return false;
    used_ += needed;
    if (listed.entry) counted_.push_back(listed.entry->node);
    return true;
  }

  void Send() {
    FuseHandlers& handlers = HandlersOf(request_);
    if (fuse_reply_buf(request_, buffer_.data(), used_) == 0) return;
    for (const NodeId node : counted_) {
      if (!IsVirtual(node)) handlers.files.Forget(node, 1);
    }
  }

 private:
  fuse_req_t request_;
  std::vector<char> buffer_;
  size_t used_ = 0;
  std::vector<NodeId> counted_;
};

void List(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, bool with_attributes) {
  Answer(request, "readdir", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    ListReply reply(request, size);
    const ListSink sink = [&](const ListedName& listed) {
      return reply.Add(listed, with_attributes);
    };
    if (IsVirtual(node)) {
      handlers.snapshots.List(node, offset, with_attributes, sink);
    } else {
      handlers.files.List(node, offset, size, with_attributes, sink);
    }
    reply.Send();
  });
}

void ReadDirectory(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset,
                   fuse_file_info* /*file*/) {
  List(request, node, size, offset, false);
}

void ReadDirectoryPlus(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset,
                       fuse_file_info* /*file*/) {
  List(request, node, size, offset, true);
}

// --- Data ----------------------------------------------------------------------------------------

void Describe(fuse_file_info& file, const OpenReply& open) {
  file.fh = open.handle;
  file.backing_id = open.backing_id;
  file.direct_io = open.uncached ? 1 : 0;
  file.noflush = 1;
  file.parallel_direct_writes = 1;
}

using SessionHandle = std::shared_ptr<ControlSession>;

void OpenControl(fuse_req_t request, std::optional<int64_t> scope, fuse_file_info* file) {
  const Caller caller = CallerOf(request);
  auto session = std::make_unique<SessionHandle>(
      HandlersOf(request).control->Open({.pid = caller.pid,
                                         .uid = caller.uid,
                                         .gid = caller.gid,
                                         .may_change = IsOpenForWriting(file->flags),
                                         .workspace_id = scope}));
  file->fh = reinterpret_cast<uint64_t>(session.get());
  file->direct_io = 1;
  file->nonseekable = 1;
  file->noflush = 1;
  if (fuse_reply_open(request, file) == 0) static_cast<void>(session.release());
}

SessionHandle& SessionOf(const fuse_file_info& file) {
  return *reinterpret_cast<SessionHandle*>(file.fh);
}

void Open(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Answer(request, "open", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    if (const auto scope = handlers.snapshots.ControlScope(node)) {
      OpenControl(request, *scope, file);
      return;
    }
    const OpenReply open = handlers.files.Open(node, file->flags, CallerOf(request));
    Describe(*file, open);
    if (fuse_reply_open(request, file) != 0) handlers.files.Release(node, open.handle);
  });
}

void ReplyCreated(fuse_req_t request, const CreatedFile& created, fuse_file_info* file) {
  Describe(*file, created.open);
  const fuse_entry_param param = EntryParam(created.entry);
  FuseHandlers& handlers = HandlersOf(request);
  if (fuse_reply_create(request, &param, file) == 0) return;
  handlers.files.Release(created.entry.node, created.open.handle);
  handlers.files.Forget(created.entry.node, 1);
}

void Create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* file) {
  Answer(request, "create", [&] {
    RefuseVirtual(parent, "make a file");
    ReplyCreated(
        request,
        HandlersOf(request).files.Create(parent, name, mode, file->flags, CallerOf(request)), file);
  });
}

void CreateUnnamed(fuse_req_t request, fuse_ino_t parent, mode_t mode, fuse_file_info* file) {
  Answer(request, "tmpfile", [&] {
    RefuseVirtual(parent, "make a file");
    ReplyCreated(
        request,
        HandlersOf(request).files.CreateUnnamed(parent, mode, file->flags, CallerOf(request)),
        file);
  });
}

void Release(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  Answer(request, "release", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    if (handlers.snapshots.ControlScope(node)) {
      const std::unique_ptr<SessionHandle> session(&SessionOf(*file));
    } else {
      handlers.files.Release(node, file->fh);
    }
    fuse_reply_err(request, 0);
  });
}

void Read(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, fuse_file_info* file) {
  Answer(request, "read", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    if (handlers.snapshots.ControlScope(node)) {
      handlers.pending_reads.Read(request, SessionOf(*file), size);
      return;
    }
    const auto fd = handlers.files.DataFd(node);
    fuse_bufvec source = FUSE_BUFVEC_INIT(size);
    source.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
    source.buf[0].fd = fd->get();
    source.buf[0].pos = offset;
    fuse_reply_data(request, &source, FUSE_BUF_SPLICE_MOVE);
  });
}

void Write(fuse_req_t request, fuse_ino_t node, fuse_bufvec* source, off_t offset,
           fuse_file_info* /*file*/) {
  Answer(request, "write", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    if (handlers.snapshots.ControlScope(node)) {
      throw Error(EINVAL, "write to a control file", "requests are made by ioctl", "Use ckpt");
    }
    const auto pass = handlers.files.PassGate(node);
    const KeepSetId keep(fuse_req_ctx(request)->uid == 0);
    const auto fd = handlers.files.DataFd(node);
    fuse_bufvec target = FUSE_BUFVEC_INIT(fuse_buf_size(source));
    target.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
    target.buf[0].fd = fd->get();
    target.buf[0].pos = offset;
    const ssize_t written = fuse_buf_copy(&target, source, static_cast<fuse_buf_copy_flags>(0));
    if (written < 0) throw Error(static_cast<int>(-written), "write to a file");
    fuse_reply_write(request, static_cast<size_t>(written));
  });
}

void Sync(fuse_req_t request, fuse_ino_t node, int data_only, fuse_file_info* /*file*/) {
  Answer(request, "fsync", [&] {
    if (!IsVirtual(node)) HandlersOf(request).files.Sync(node, data_only != 0);
    fuse_reply_err(request, 0);
  });
}

void Allocate(fuse_req_t request, fuse_ino_t node, int mode, off_t offset, off_t length,
              fuse_file_info* /*file*/) {
  Answer(request, "fallocate", [&] {
    HandlersOf(request).files.Allocate(node, mode, offset, length, CallerOf(request));
    fuse_reply_err(request, 0);
  });
}

void CopyRange(fuse_req_t request, fuse_ino_t from, off_t from_offset, fuse_file_info* /*in*/,
               fuse_ino_t to, off_t to_offset, fuse_file_info* /*out*/, size_t length,
               int /*flags*/) {
  Answer(request, "copy_file_range", [&] {
    const ssize_t copied =
        HandlersOf(request).files.CopyRange(from, from_offset, to, to_offset, length);
    fuse_reply_write(request, static_cast<size_t>(copied));
  });
}

void Seek(fuse_req_t request, fuse_ino_t node, off_t offset, int whence, fuse_file_info* /*file*/) {
  Answer(request, "lseek",
         [&] { fuse_reply_lseek(request, HandlersOf(request).files.Seek(node, offset, whence)); });
}

void ControlIoctl(fuse_req_t request, unsigned int command, const fuse_file_info& file,
                  std::string_view input) {
  if (_IOC_TYPE(command) != kControlIoctlType) throw Error(ENOTTY, "ioctl of a control file");
  switch (_IOC_NR(command)) {
    case kControlAppendNumber:
      SessionOf(file)->Append(input);
      break;
    case kControlRunNumber:
      SessionOf(file)->Run();
      break;
    default:
      throw Error(ENOTTY, "ioctl of a control file");
  }
  fuse_reply_ioctl(request, 0, nullptr, 0);
}

void Ioctl(fuse_req_t request, fuse_ino_t node, unsigned int command, void* /*argument*/,
           fuse_file_info* file, unsigned int flags, const void* input, size_t input_size,
           size_t output_size) {
  Answer(request, "ioctl", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    if ((flags & FUSE_IOCTL_COMPAT) != 0) throw Error(ENOSYS, "ioctl of a 32-bit process");
    if (handlers.snapshots.ControlScope(node)) {
      ControlIoctl(request, command, *file, {static_cast<const char*>(input), input_size});
      return;
    }
    const bool is_flags = command == FS_IOC_GETFLAGS || command == FS_IOC_SETFLAGS ||
                          command == FS_IOC_FSGETXATTR || command == FS_IOC_FSSETXATTR;
    if (!is_flags || handlers.snapshots.Owns(node)) throw Error(ENOTTY, "ioctl of a file");
    alignas(fsxattr) char data[sizeof(fsxattr)] = {};
    if (input_size > sizeof(data) || output_size > sizeof(data)) throw Error(EINVAL, "ioctl");
    if (input_size != 0) std::memcpy(data, input, input_size);
    handlers.files.FlagsIoctl(node, command, data);
    fuse_reply_ioctl(request, 0, data, output_size);
  });
}

// --- Session -------------------------------------------------------------------------------------

void Initialise(void* user_data, fuse_conn_info* connection) {
  auto& handlers = *static_cast<FuseHandlers*>(user_data);
  for (const uint64_t wanted :
       {uint64_t{FUSE_CAP_PARALLEL_DIROPS}, uint64_t{FUSE_CAP_CACHE_SYMLINKS},
        uint64_t{FUSE_CAP_READDIRPLUS}, uint64_t{FUSE_CAP_READDIRPLUS_AUTO},
        uint64_t{FUSE_CAP_NO_OPENDIR_SUPPORT}, uint64_t{FUSE_CAP_EXPIRE_ONLY},
        uint64_t{FUSE_CAP_ATOMIC_O_TRUNC}, uint64_t{FUSE_CAP_POSIX_ACL},
        uint64_t{FUSE_CAP_DONT_MASK}, uint64_t{FUSE_CAP_HANDLE_KILLPRIV_V2},
        uint64_t{FUSE_CAP_AUTO_INVAL_DATA}, uint64_t{FUSE_CAP_ASYNC_DIO},
        uint64_t{FUSE_CAP_SPLICE_WRITE}, uint64_t{FUSE_CAP_SPLICE_MOVE},
        uint64_t{FUSE_CAP_PASSTHROUGH}}) {
    fuse_set_feature_flag(connection, wanted);
  }
  // Requests bring little data, and where a pipe must not grow to the largest request (without
  // CAP_SYS_RESOURCE) libfuse would make and drop a pipe for each: six system calls more.
  fuse_unset_feature_flag(connection, FUSE_CAP_SPLICE_READ);
  // Two mounts of one backing file are not in question, and the kernel's own locks are right.
  fuse_unset_feature_flag(connection, FUSE_CAP_FLOCK_LOCKS);
  fuse_unset_feature_flag(connection, FUSE_CAP_POSIX_LOCKS);
  fuse_unset_feature_flag(connection, FUSE_CAP_WRITEBACK_CACHE);
  if (!fuse_get_feature_flag(connection, FUSE_CAP_PASSTHROUGH)) {
    spdlog::info("this kernel has no FUSE passthrough (6.9): data goes through the daemon");
    handlers.mount.open_files.DisablePassthrough();
  }
  // Releases are background requests too: 12 at a time would hold up whoever opens files.
  connection->max_background = 128;
  connection->congestion_threshold = 96;
  connection->time_gran = 1;
  constexpr unsigned int kEpochMinor = 44;  // FUSE_NOTIFY_INC_EPOCH came with protocol 7.44
  handlers.mount.can_expire_names =
      connection->proto_major > 7 || connection->proto_minor >= kEpochMinor;
  if (!handlers.mount.can_expire_names) {
    spdlog::info("this kernel cannot expire names (6.16): they are looked up every time");
  }
}

fuse_lowlevel_ops MakeOperations() {
  fuse_lowlevel_ops operations{};
  operations.init = Initialise;
  operations.lookup = Lookup;
  operations.forget = Forget;
  operations.forget_multi = ForgetMany;
  operations.getattr = GetAttributes;
  operations.setattr = SetAttributes;
  operations.readlink = ReadLink;
  operations.mknod = MakeNode;
  operations.mkdir = MakeDirectory;
  operations.unlink = Unlink;
  operations.rmdir = RemoveDirectory;
  operations.symlink = MakeSymlink;
  operations.rename = Rename;
  operations.link = MakeLink;
  operations.open = Open;
  operations.read = Read;
  operations.write_buf = Write;
  operations.release = Release;
  operations.fsync = Sync;
  operations.readdir = ReadDirectory;
  operations.readdirplus = ReadDirectoryPlus;
  operations.fsyncdir = Sync;
  operations.statfs = GetStatfs;
  operations.setxattr = SetXattr;
  operations.getxattr = GetXattr;
  operations.listxattr = ListXattrs;
  operations.removexattr = RemoveXattr;
  operations.create = Create;
  operations.ioctl = Ioctl;
  operations.fallocate = Allocate;
  operations.copy_file_range = CopyRange;
  operations.lseek = Seek;
  operations.tmpfile = CreateUnnamed;
  operations.statx = GetStatx;
  return operations;
}

}  // namespace

const fuse_lowlevel_ops& FuseOperations() {
  static const fuse_lowlevel_ops operations = MakeOperations();
  return operations;
}

}  // namespace ckptfs
