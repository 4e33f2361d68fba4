#include "fs/open/open_file_copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/error.h"
#include "catalog/trees/copy_file.h"
#include "fs/nodes/attributes.h"
#include "fs/nodes/thread_credentials.h"
#include "fs/open/pieces.h"

namespace ckptfs {
namespace {

// A file without checksums (chattr +C) shares extents only with other such files, and the attribute can be
// set only on an empty file. Where it does not exist (ext4), reflinks do not exist either.
void TakeOverNodatacow(int from, int to) {
  int flags = 0;
  if (ioctl(from, FS_IOC_GETFLAGS, &flags) != 0 || (flags & FS_NOCOW_FL) == 0) return;
  if (ioctl(to, FS_IOC_GETFLAGS, &flags) != 0) return;
  flags |= FS_NOCOW_FL;
  ioctl(to, FS_IOC_SETFLAGS, &flags);
}

// Reflinks the content of `from` into the empty file `to`. False if that is not possible; then `to` is still
// empty.
bool ShareContent(int from, int to, off_t size, const std::string& path, Deadline end) {
  TakeOverNodatacow(from, to);
  Pieces pieces(/*way=*/nullptr);
  for (off_t at = 0; at < size;) {
    RequireTime(end, path);
    const off_t piece = std::min(pieces.bytes(), size - at);
    bool shared = false;
    pieces.Do([&] {
      const file_clone_range range{
          .src_fd = from,
          .src_offset = static_cast<uint64_t>(at),
          // 0: up to the end, which may be within a block
          .src_length = static_cast<uint64_t>(at + piece < size ? piece : 0),
          .dest_offset = static_cast<uint64_t>(at)};
      shared = ioctl(to, FICLONERANGE, &range) == 0;
    });
    if (!shared && at > 0) ThrowErrno("share the data of the open file " + path);
    if (!shared) return false;
    at += piece;
  }
  return true;
}

}  // namespace

void RequireTime(Deadline end, const std::string& path) {
  if (std::chrono::steady_clock::now() <= end) return;
  throw Error(ETIMEDOUT, "copy the open file " + path, "it takes too long");
}

UniqueFd CopyOpenFile(int file_fd, int directory_fd, const std::string& name,
                      const std::string& path, Deadline end) {
  UniqueFd copy(
      CheckSyscall(openat(directory_fd, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
                   "make a copy of a file that is open"));
  const struct statx status = StatxAt(file_fd, "");
  if (!ShareContent(file_fd, copy.get(), static_cast<off_t>(status.stx_size), path, end)) {
    ContentCopier([&](uint64_t) {
      RequireTime(end, path);
    }).Copy(file_fd, copy.get(), status.stx_size, path);
  }
  const KeepSetId keep(true);
  CopyAttributes(file_fd, copy.get(), status, path);
  return copy;
}

}  // namespace ckptfs
