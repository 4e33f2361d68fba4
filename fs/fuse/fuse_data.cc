// The adapter's handlers of requests for open files and their data.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include <fcntl.h>
#include <linux/fs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <span>

#include "backend/base/error.h"
#include "fs/fuse/fuse_handlers.h"
#include "fs/fuse/fuse_operations.h"

namespace ckptfs::fuse_handlers {
namespace {

fuse_bufvec PartOfFile(int fd, off_t offset, size_t size) {
  fuse_bufvec part{.count = 1};
  part.buf[0].size = size;
  part.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  part.buf[0].fd = fd;
  part.buf[0].pos = offset;
  return part;
}

// Reads everything up to the end of the file, or fails: if the middle of the range is damaged on disk,
// read(2) returns what comes before it, and the kernel would take that for the end of the file. (So would
// libfuse if it read for the daemon.)
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

}  // namespace

OpenedFile Open(fuse_req_t request, NodeId node, const AskedFile& file) {
  return {node,
          HandlersOf(request).files.Open(node, file.info.flags, file.info.kill_suidgid == 0,
                                         CallerOf(request), InGroupsOf(request)),
          file.info};
}

CreatedAndOpened Create(fuse_req_t request, NodeId parent, const ArgumentText& name, mode_t mode,
                        const AskedFile& file) {
  RefuseVirtual(parent, "make a file");
  return {HandlersOf(request).files.Create(parent, name.c_str(), mode, file.info.flags,
                                           CallerOf(request)),
          file.info};
}

CreatedAndOpened CreateUnnamed(fuse_req_t request, NodeId parent, mode_t mode,
                               const AskedFile& file) {
  RefuseVirtual(parent, "make a file");
  return {HandlersOf(request).files.CreateUnnamed(parent, mode, file.info.flags, CallerOf(request)),
          file.info};
}

Done Release(fuse_req_t request, NodeId node, const AskedFile& file) {
  HandlersOf(request).files.Release(node, file.info.fh);
  return {};
}

Bytes Read(fuse_req_t request, NodeId node, size_t size, off_t offset, const AskedFile& /*file*/) {
  const auto fd = HandlersOf(request).files.ReadFd(node, static_cast<uint64_t>(offset) + size);
  Bytes reply{.data = std::make_unique_for_overwrite<char[]>(size)};
  reply.size = ReadWhole(fd->get(), {reply.data.get(), size}, offset);
  return reply;
}

// Releases everything it holds before the reply is sent, which may wait for a ring's thread.
Written Write(fuse_req_t request, NodeId node, const ArgumentData& data, off_t offset,
              const AskedFile& file, Gap gap) {
  FileTree& files = HandlersOf(request).files;
  fuse_bufvec source = data.Source();
  if (gap == Gap::kLeft) files.BeforeGrowth(node, offset);
  auto pass = files.PassGate(node);
  const auto fd = files.WriteFd(node, file.info.fh);
  std::optional<KeepSetIdOf> keep(std::in_place, file.info.kill_suidgid == 0, fd->get(),
                                  InGroupsOf(request));
  fuse_bufvec target = PartOfFile(fd->get(), offset, fuse_buf_size(&source));
  const ssize_t size = fuse_buf_copy(&target, &source, static_cast<fuse_buf_copy_flags>(0));
  if (size < 0) throw Error(static_cast<int>(-size), "write to a file");
  keep.reset();
  pass.reset();  // before the sync
  if (IsSynchronous(file)) files.SyncWritten(node, file.info.fh, fd->get(), file.info.flags);
  return {static_cast<size_t>(size)};
}

Done Sync(fuse_req_t request, NodeId node, int data_only, const AskedFile& file) {
  FuseHandlers& handlers = HandlersOf(request);
  if (IsVirtual(node)) {
    handlers.snapshots.Sync(node);
  } else {
    handlers.files.Sync(node, file.info.fh, data_only != 0);
  }
  return {};
}

Done Allocate(fuse_req_t request, NodeId node, int mode, off_t offset, off_t length,
              const AskedFile& /*file*/, Pages pages) {
  HandlersOf(request).files.Allocate(node, mode, offset, length, CallerOf(request),
                                     InGroupsOf(request), pages == Pages::kHeld);
  return {};
}

Written CopyRange(fuse_req_t request, NodeId from, off_t from_offset, const AskedFile& /*in*/,
                  NodeId to, off_t to_offset, const AskedFile& /*out*/, size_t length,
                  int /*flags*/, Pages pages) {
  return {HandlersOf(request).files.CopyRange(from, from_offset, to, to_offset, length,
                                              CallerOf(request), InGroupsOf(request),
                                              pages == Pages::kHeld)};
}

FoundOffset Seek(fuse_req_t request, NodeId node, off_t offset, int whence,
                 const AskedFile& /*file*/, Pages pages) {
  return {HandlersOf(request).files.Seek(node, offset, whence, pages == Pages::kHeld)};
}

IoctlOutput Ioctl(fuse_req_t request, NodeId node, unsigned int command, const AskedFile& /*file*/,
                  unsigned int flags, const ArgumentBytes& input, size_t output_size) {
  FuseHandlers& handlers = HandlersOf(request);
  if ((flags & FUSE_IOCTL_COMPAT) != 0) throw Error(ENOSYS, "ioctl of a 32-bit process");
  const bool is_flags = command == FS_IOC_GETFLAGS || command == FS_IOC_SETFLAGS ||
                        command == FS_IOC_FSGETXATTR || command == FS_IOC_FSSETXATTR;
  if (!is_flags || handlers.snapshots.Owns(node)) throw Error(ENOTTY, "ioctl of a file");
  IoctlOutput output{.size = output_size};
  if (input.view().size() > output.data.size() || output_size > output.data.size()) {
    throw Error(EINVAL, "ioctl");
  }
  input.view().copy(output.data.data(), output.data.size());
  handlers.files.FlagsIoctl(node, command, output.data.data());
  return output;
}

}  // namespace ckptfs::fuse_handlers
