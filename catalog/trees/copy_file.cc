#include "catalog/trees/copy_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/xattr.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "backend/base/error.h"
#include "backend/base/own_names.h"
#include "backend/base/proc_path.h"
#include "backend/base/unique_fd.h"
#include "catalog/trees/tree_walk.h"

namespace ckptfs {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
// One step of copy_file_range: small enough for a smooth progress bar.
constexpr size_t kKernelStepBytes = size_t{16} << 20;

// Extended attributes are accessed by this path, because f*xattr calls take no O_PATH descriptor (needed for
// a symlink, or a FIFO that must not be opened).
// that must not be opened) takes no f*xattr call.

[[noreturn]] void ThrowShrunk(std::string_view path) {
  throw Error(EAGAIN, "copy " + Printable(path), "it became shorter while it was copied",
              "Stop what writes there and try again");
}

// The name list of flistxattr and the like, split into names.
std::vector<std::string> ListAttributes(const ProcPath& file, std::string_view path) {
  std::string list;
  for (;;) {
    const ssize_t needed = listxattr(file.c_str(), nullptr, 0);
    if (needed < 0) {
      // A filesystem without extended attributes.
      if (errno == EOPNOTSUPP || errno == ENOSYS) return {};
      ThrowErrno("list the extended attributes of " + Printable(path));
    }
    list.resize(static_cast<size_t>(needed));
    const ssize_t got = listxattr(file.c_str(), list.data(), list.size());
    if (got >= 0) {
      list.resize(static_cast<size_t>(got));
      break;
    }
    if (errno != ERANGE) ThrowErrno("list the extended attributes of " + Printable(path));
  }
  std::vector<std::string> names;
  for (size_t at = 0; at < list.size(); at += names.back().size() + 1) {
    names.emplace_back(list.c_str() + at);
  }
  return names;
}

std::string GetAttribute(const ProcPath& file, const std::string& name, std::string_view path) {
  std::string value;
  for (;;) {
    const ssize_t needed = getxattr(file.c_str(), name.c_str(), nullptr, 0);
    if (needed >= 0) {
      value.resize(static_cast<size_t>(needed));
      const ssize_t got = getxattr(file.c_str(), name.c_str(), value.data(), value.size());
      if (got >= 0) {
        value.resize(static_cast<size_t>(got));
        return value;
      }
    }
    if (errno != ERANGE) ThrowErrno(fmt::format("read {} of {}", name, Printable(path)));
  }
}

// Attributes without which a copy is incomplete; all others belong to the system that the tree comes from.
bool IsEssential(std::string_view name) {
  return name.starts_with("user.") || name.starts_with("trusted.") || name == XATTR_NAME_CAPS ||
         name == XATTR_NAME_POSIX_ACL_ACCESS || name == XATTR_NAME_POSIX_ACL_DEFAULT;
}

uint64_t CopyExtendedAttributes(int source_fd, int destination_fd, std::string_view path,
                                std::string_view none_of) {
  const ProcPath source(source_fd);
  const ProcPath destination(destination_fd);
  uint64_t left_out = 0;
  for (const std::string& name : ListAttributes(source, path)) {
    if (IsOwnXattr(name)) continue;  // bookkeeping of another store's tree
    if (!none_of.empty() && name.starts_with(none_of)) continue;
    std::string value;
    try {
      value = GetAttribute(source, name, path);
    } catch (const Error&) {
      if (IsEssential(name)) throw;
      ++left_out;
      continue;
    }
    if (setxattr(destination.c_str(), name.c_str(), value.data(), value.size(), 0) == 0) continue;
    if (IsEssential(name)) {
      ThrowErrno(fmt::format("keep the extended attribute {} of {}", name, Printable(path)));
    }
    ++left_out;
  }
  return left_out;
}

void CopyOwner(int destination_fd, const struct statx& info, std::string_view path) {
  const struct statx now = StatEntry(destination_fd, "", path);
  if (now.stx_uid == info.stx_uid && now.stx_gid == info.stx_gid) return;
  if (fchownat(destination_fd, "", info.stx_uid, info.stx_gid, AT_EMPTY_PATH) == 0) return;
  ThrowErrno(fmt::format("keep owner {}:{} of {}", info.stx_uid, info.stx_gid, Printable(path)),
             errno == EPERM ? "Copying files of other users needs root" : "");
}

}  // namespace

void ContentCopier::Copy(int source_fd, int destination_fd, uint64_t size, std::string_view path) {
  if (size == 0) return;
  if (Share(source_fd, destination_fd, size, path)) return;
  const auto end = static_cast<off_t>(size);
  off_t at = 0;
  while (at < end) {
    off_t data = lseek(source_fd, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // a hole up to the end
    if (data < 0) data = at;                // SEEK_DATA not supported: all is data
    off_t hole = lseek(source_fd, data, SEEK_HOLE);
    if (hole < 0 || hole > end) hole = end;
    if (data < end) CopyRange(source_fd, destination_fd, data, hole, path);
    at = std::max(hole, data);
  }
  CheckOn(path, "set the size of the copy of", ftruncate(destination_fd, end));
}

bool ContentCopier::Share(int source_fd, int destination_fd, uint64_t size, std::string_view path) {
  if (!try_share_) return false;
  if (ioctl(destination_fd, FICLONE, source_fd) == 0) {
    struct stat info {};
    CheckOn(path, "look at the copy of", fstat(destination_fd, &info));
    if (static_cast<uint64_t>(info.st_size) < size) ThrowShrunk(path);
    shared_bytes_ += size;
    if (advanced_) advanced_(size);
    return true;
  }
  // EINVAL concerns this one file (e.g. one without checksums); the others concern the filesystems.
  if (errno == EXDEV || errno == EOPNOTSUPP || errno == ENOTTY || errno == ENOSYS) {
    try_share_ = false;
  } else if (errno != EINVAL && errno != ETXTBSY && errno != EPERM) {
    ThrowErrno("share the data of " + Printable(path));
  }
  return false;
}

void ContentCopier::CopyRange(int source_fd, int destination_fd, off_t begin, off_t end,
                              std::string_view path) {
  off_t at = begin;
  if (try_kernel_copy_ && CopyInKernel(source_fd, destination_fd, at, end, path)) return;
  CopyThroughBuffer(source_fd, destination_fd, at, end, path);
}

// Returns false, with `at` where it stopped, if the rest must be copied another way.
bool ContentCopier::CopyInKernel(int source_fd, int destination_fd, off_t& at, off_t end,
                                 std::string_view path) {
  while (at < end) {
    off_t from = at;
    off_t to = at;
    const size_t step = std::min(static_cast<size_t>(end - at), kKernelStepBytes);
    const ssize_t done = copy_file_range(source_fd, &from, destination_fd, &to, step, 0);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      // These mean "not this way"; any other error (no space, a bad disk) would also hit the other way.
      if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS) {
        ThrowErrno("copy " + Printable(path));
      }
      if (errno == EXDEV || errno == ENOSYS) try_kernel_copy_ = false;
      return false;
    }
    // Zero before the end: some filesystems return that where read(2) has data.
    if (done == 0) return false;
    at += done;
    copied_bytes_ += static_cast<uint64_t>(done);
    if (advanced_) advanced_(static_cast<uint64_t>(done));
  }
  return true;
}

void ContentCopier::CopyThroughBuffer(int source_fd, int destination_fd, off_t at, off_t end,
                                      std::string_view path) {
  buffer_.resize(kBufferBytes);
  while (at < end) {
    const size_t step = std::min(static_cast<size_t>(end - at), buffer_.size());
    const ssize_t got = pread(source_fd, buffer_.data(), step, at);
    if (got < 0 && errno == EINTR) continue;
    CheckOn(path, "read", got);
    if (got == 0) ThrowShrunk(path);
    for (ssize_t put = 0; put < got;) {
      const ssize_t wrote =
          pwrite(destination_fd, buffer_.data() + put, static_cast<size_t>(got - put), at + put);
      if (wrote < 0 && errno == EINTR) continue;
      put += CheckOn(path, "write the copy of", wrote);
    }
    at += got;
    copied_bytes_ += static_cast<uint64_t>(got);
    if (advanced_) advanced_(static_cast<uint64_t>(got));
  }
}

bool CanShareData(int source_fd, int destination_dir_fd) {
  const UniqueFd probe(openat(destination_dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  return probe.valid() && ioctl(probe.get(), FICLONE, source_fd) == 0;
}

uint64_t CopyAttributes(int source_fd, int destination_fd, const struct statx& info,
                        std::string_view path, std::string_view no_xattrs) {
  CopyOwner(destination_fd, info, path);
  const uint64_t left_out = CopyExtendedAttributes(source_fd, destination_fd, path, no_xattrs);
  // After the ACL, so that the mode's bits win; in the source they agree.
  if (!S_ISLNK(info.stx_mode)) {
    CheckOn(path, "set the mode of",
            chmod(ProcPath(destination_fd).c_str(), info.stx_mode & 07777));
  }
  const timespec times[2] = {{.tv_sec = info.stx_atime.tv_sec, .tv_nsec = info.stx_atime.tv_nsec},
                             {.tv_sec = info.stx_mtime.tv_sec, .tv_nsec = info.stx_mtime.tv_nsec}};
  CheckOn(path, "set the times of", utimensat(destination_fd, "", times, AT_EMPTY_PATH));
  return left_out;
}

}  // namespace ckptfs
