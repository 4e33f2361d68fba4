#include "fs/nodes/attributes.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

timespec TimeOf(const statx_timestamp& time) {
  return {.tv_sec = time.tv_sec, .tv_nsec = time.tv_nsec};
}

}  // namespace

struct stat StatOf(const struct statx& from, uint64_t number) {
  struct stat to {};
  to.st_ino = number;
  to.st_mode = from.stx_mode;
  to.st_nlink = from.stx_nlink;
  to.st_uid = from.stx_uid;
  to.st_gid = from.stx_gid;
  to.st_rdev = makedev(from.stx_rdev_major, from.stx_rdev_minor);
  to.st_size = static_cast<off_t>(from.stx_size);
  to.st_blksize = static_cast<blksize_t>(from.stx_blksize);
  to.st_blocks = static_cast<blkcnt_t>(from.stx_blocks);
  to.st_atim = TimeOf(from.stx_atime);
  to.st_mtim = TimeOf(from.stx_mtime);
  to.st_ctim = TimeOf(from.stx_ctime);
  return to;
}

struct statx StatxAt(int dir_fd, const char* name) {
  struct statx result {};
  if (!StatxIfThere(dir_fd, name, &result)) {
    throw Error(ENOENT, *name == '\0' ? std::string("stat a file") : std::string("stat ") + name);
  }
  return result;
}

bool StatxIfThere(int dir_fd, const char* name, struct statx* result) {
  const int flags = AT_SYMLINK_NOFOLLOW | (*name == '\0' ? AT_EMPTY_PATH : 0);
  if (statx(dir_fd, name, flags, STATX_BASIC_STATS | STATX_BTIME, result) == 0) return true;
  if (errno == ENOENT) return false;
  ThrowErrno(*name == '\0' ? std::string("stat a file") : std::string("stat ") + name);
}

}  // namespace ckptfs
