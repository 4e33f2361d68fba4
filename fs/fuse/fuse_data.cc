// The adapter's requests about open files and their data.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include <fcntl.h>
#include <linux/fs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "backend/base/error.h"
#include "fs/control/control_protocol.h"
#include "fs/fuse/fuse_answer.h"
#include "fs/fuse/fuse_operations.h"

namespace ckptfs {
namespace {

void Describe(fuse_file_info& file, const OpenReply& open) {
  file.fh = open.handle;
  file.backing_id = open.backing_id;
  file.keep_cache = open.keeps_pages ? 1 : 0;
  file.direct_io = open.uncached ? 1 : 0;
  file.noflush = 1;
  file.parallel_direct_writes = 1;
}

fuse_bufvec PartOfFile(int fd, off_t offset, size_t size) {
  fuse_bufvec part{.count = 1};
  part.buf[0].size = size;
  part.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  part.buf[0].fd = fd;
  part.buf[0].pos = offset;
  return part;
}

// All that there is up to the end of the file, or an error: where a disk has damaged the middle of what is asked
// for, read(2) gives what comes before, and the kernel would take that for the end of the file. (So would
// libfuse with it, where it reads for us.)
size_t ReadWhole(int fd, std::span<char> to, off_t offset) {
  size_t done = 0;
  while (done < to.size()) {
    const ssize_t got =
        pread(fd, to.data() + done, to.size() - done, offset + static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (CheckSyscall(got, "read a file") == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

using SessionHandle = std::shared_ptr<ControlSession>;

void OpenControl(fuse_req_t request, std::optional<int64_t> scope, fuse_file_info* file) {
  const Caller caller = CallerOf(request);
  auto session = std::make_unique<SessionHandle>(HandlersOf(request).control->Open(
      {.pid = caller.pid,
       .uid = caller.uid,
       .gid = caller.gid,
       .groups = GroupsOf(request),
       .powers = caller.uid == 0 ? Powers() : PowersOf(caller.pid),
       .may_change = IsOpenForWriting(file->flags),
       .workspace_id = scope}));
  file->fh = reinterpret_cast<uint64_t>(session.get());
  file->direct_io = 1;
  file->nonseekable = 1;
  file->noflush = 1;
  if (Reply([&] { return fuse_reply_open(request, file); }) == 0)
    static_cast<void>(session.release());
}

SessionHandle& SessionOf(const fuse_file_info& file) {
  return *reinterpret_cast<SessionHandle*>(file.fh);
}

void Open(fuse_req_t request, fuse_ino_t node, fuse_file_info* opened) {
  AnswerChange(request, "open", [request, node, asked = *opened] {
    fuse_file_info file = asked;
    FuseHandlers& handlers = HandlersOf(request);
    if (const auto scope = handlers.snapshots.ControlScope(node)) {
      OpenControl(request, *scope, &file);
      return;
    }
    const OpenReply open = handlers.files.Open(node, file.flags, file.kill_suidgid == 0,
                                               CallerOf(request), InGroupsOf(request));
    Describe(file, open);
    if (Reply([&] { return fuse_reply_open(request, &file); }) != 0) {
      handlers.files.Release(node, open.handle);
    }
  });
}

void ReplyCreated(fuse_req_t request, const CreatedFile& created, fuse_file_info file) {
  Describe(file, created.open);
  FuseHandlers& handlers = HandlersOf(request);
  const fuse_entry_param param = EntryParam(handlers, created.entry);
  if (Reply([&] { return fuse_reply_create(request, &param, &file); }) == 0) return;
  handlers.files.Release(created.entry.node, created.open.handle);
  handlers.files.Forget(created.entry.node, 1);
}

void Create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* file) {
  AnswerChange(request, "create", [request, parent, name = RequestText(name), mode, file = *file] {
    RefuseVirtual(parent, "make a file");
    ReplyCreated(
        request,
        HandlersOf(request).files.Create(parent, name.c_str(), mode, file.flags, CallerOf(request)),
        file);
  });
}

void CreateUnnamed(fuse_req_t request, fuse_ino_t parent, mode_t mode, fuse_file_info* file) {
  AnswerChange(request, "tmpfile", [request, parent, mode, file = *file] {
    RefuseVirtual(parent, "make a file");
    ReplyCreated(
        request,
        HandlersOf(request).files.CreateUnnamed(parent, mode, file.flags, CallerOf(request)), file);
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
    ReplyError(request, 0);
  });
}

void Read(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, fuse_file_info* file) {
  Answer(request, "read", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    if (handlers.snapshots.ControlScope(node)) {
      handlers.pending_reads.Read(request, SessionOf(*file), size);
      return;
    }
    const auto fd = handlers.files.ReadFd(node, static_cast<uint64_t>(offset) + size);
    const auto data = std::make_unique_for_overwrite<char[]>(size);
    const size_t got = ReadWhole(fd->get(), {data.get(), size}, offset);
    Reply([&] { return fuse_reply_buf(request, data.get(), got); });
  });
}

// What a request brings to be written: a copy of this has its own, unless it came by a ring, where it stays
// until the reply.
class RequestData {
 public:
  RequestData(fuse_req_t request, const fuse_bufvec& data)
      : data_(data), stays_(fuse_req_is_uring(request)) {}
  RequestData(const RequestData& other) : data_(other.data_), stays_(other.stays_) {
    if (stays_ || (data_.buf[0].flags & FUSE_BUF_IS_FD) != 0) return;
    own_.assign(static_cast<const char*>(other.Source().buf[0].mem) + data_.off,
                data_.buf[0].size - data_.off);
    data_.buf[0].size = own_.size();
    data_.off = 0;
  }
  RequestData(RequestData&&) noexcept = default;
  RequestData& operator=(const RequestData&) = delete;
  RequestData& operator=(RequestData&&) = delete;
  ~RequestData() = default;

  fuse_bufvec Source() const {
    fuse_bufvec source = data_;
    if (!own_.empty()) source.buf[0].mem = const_cast<char*>(own_.data());  // which is read only
    return source;
  }

 private:
  fuse_bufvec data_;
  bool stays_;
  std::string own_;
};

void Write(fuse_req_t request, fuse_ino_t node, fuse_bufvec* written, off_t offset,
           fuse_file_info* file) {
  // Not of what the kernel writes back, which is within what it takes for the file, and holds its page.
  const bool leaves_gap = file->writepage == 0 && HandlersOf(request).files.LeavesGap(node, offset);
  const bool is_synchronous = file->writepage == 0 && (file->flags & O_DSYNC) != 0;
  const auto handle = [=, written = RequestData(request, *written), file = *file] {
    fuse_bufvec source = written.Source();
    FuseHandlers& handlers = HandlersOf(request);
    if (handlers.snapshots.ControlScope(node)) {
      throw Error(EINVAL, "write to a control file", "requests are made by ioctl", "Use ckpt");
    }
    if (leaves_gap) handlers.files.BeforeGrowth(node, offset);
    auto pass = handlers.files.PassGate(node);
    const auto fd = handlers.files.WriteFd(node, file.fh);
    std::optional<KeepSetIdOf> keep(std::in_place, file.kill_suidgid == 0, fd->get(),
                                    InGroupsOf(request));
    fuse_bufvec target = PartOfFile(fd->get(), offset, fuse_buf_size(&source));
    const ssize_t size = fuse_buf_copy(&target, &source, static_cast<fuse_buf_copy_flags>(0));
    if (size < 0) throw Error(static_cast<int>(-size), "write to a file");
    keep.reset();
    pass.reset();  // to reply may mean to wait for a ring's thread
    if (is_synchronous) handlers.files.SyncWritten(node, file.fh, fd->get(), file.flags);
    Reply([&] { return fuse_reply_write(request, static_cast<size_t>(size)); });
  };
  // The kernel lets nobody write faster than the disk for long: whoever does so must not keep the only thread
  // of a processor.
  if (leaves_gap || is_synchronous || fuse_req_is_uring(request)) {
    AnswerInWaitingRoom(request, "write", handle);
  } else {
    AnswerChange(request, "write", handle);
  }
}

void Sync(fuse_req_t request, fuse_ino_t node, int data_only, fuse_file_info* file) {
  AnswerPerhapsLong(request, "fsync", [=, handle = file->fh] {
    FuseHandlers& handlers = HandlersOf(request);
    if (IsVirtual(node)) {
      handlers.snapshots.Sync(node);
    } else {
      handlers.files.Sync(node, handle, data_only != 0);
    }
    ReplyError(request, 0);
  });
}

void Allocate(fuse_req_t request, fuse_ino_t node, int mode, off_t offset, off_t length,
              fuse_file_info* /*file*/) {
  AnswerWithPages(request, "fallocate", node, [=](bool holds_pages) {
    HandlersOf(request).files.Allocate(node, mode, offset, length, CallerOf(request),
                                       InGroupsOf(request), holds_pages);
    ReplyError(request, 0);
  });
}

void CopyRange(fuse_req_t request, fuse_ino_t from, off_t from_offset, fuse_file_info* /*in*/,
               fuse_ino_t to, off_t to_offset, fuse_file_info* /*out*/, size_t length,
               int /*flags*/) {
  const auto handle = [=](bool holds_pages) {
    const size_t copied =
        HandlersOf(request).files.CopyRange(from, from_offset, to, to_offset, length,
                                            CallerOf(request), InGroupsOf(request), holds_pages);
    Reply([&] { return fuse_reply_write(request, copied); });
  };
  AnswerWithPages(request, "copy_file_range", to, handle);
}

void Seek(fuse_req_t request, fuse_ino_t node, off_t offset, int whence, fuse_file_info* /*file*/) {
  AnswerWithPages(request, "lseek", node, [=](bool holds_pages) {
    const off_t found = HandlersOf(request).files.Seek(node, offset, whence, holds_pages);
    Reply([&] { return fuse_reply_lseek(request, found); });
  });
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
  Reply([&] { return fuse_reply_ioctl(request, 0, nullptr, 0); });
}

void Ioctl(fuse_req_t request, fuse_ino_t node, unsigned int command, void* /*argument*/,
           fuse_file_info* opened, unsigned int flags, const void* input, size_t input_size,
           size_t output_size) {
  AnswerChange(request, "ioctl", [=, file = *opened] {
    FuseHandlers& handlers = HandlersOf(request);
    if ((flags & FUSE_IOCTL_COMPAT) != 0) throw Error(ENOSYS, "ioctl of a 32-bit process");
    if (handlers.snapshots.ControlScope(node)) {
      ControlIoctl(request, command, file, {static_cast<const char*>(input), input_size});
      return;
    }
    const bool is_flags = command == FS_IOC_GETFLAGS || command == FS_IOC_SETFLAGS ||
                          command == FS_IOC_FSGETXATTR || command == FS_IOC_FSSETXATTR;
    if (!is_flags || handlers.snapshots.Owns(node)) throw Error(ENOTTY, "ioctl of a file");
    alignas(fsxattr) char data[sizeof(fsxattr)] = {};
    if (input_size > sizeof(data) || output_size > sizeof(data)) throw Error(EINVAL, "ioctl");
    if (input_size != 0) std::memcpy(data, input, input_size);
    handlers.files.FlagsIoctl(node, command, data);
    Reply([&] { return fuse_reply_ioctl(request, 0, data, output_size); });
  });
}

}  // namespace

void SetDataOperations(fuse_lowlevel_ops& operations) {
  operations.open = Callback<Open>::Call;
  operations.read = Callback<Read>::Call;
  operations.write_buf = Callback<Write>::Call;
  operations.release = Callback<Release>::Call;
  operations.fsync = Callback<Sync>::Call;
  operations.fsyncdir = Callback<Sync>::Call;
  operations.create = Callback<Create>::Call;
  operations.ioctl = Callback<Ioctl>::Call;
  operations.fallocate = Callback<Allocate>::Call;
  operations.copy_file_range = Callback<CopyRange>::Call;
  operations.lseek = Callback<Seek>::Call;
  operations.tmpfile = Callback<CreateUnnamed>::Call;
}

}  // namespace ckptfs
