#include "catalog/trees/inode_flags.h"

#include <linux/fs.h>
#include <linux/stat.h>
#include <sys/ioctl.h>

#include <array>
#include <optional>

namespace ckptfs {
namespace {

constexpr std::array<uint32_t, 6> kOthers = {FS_SYNC_FL,    FS_NODUMP_FL, FS_NOATIME_FL,
                                             FS_DIRSYNC_FL, FS_COMPR_FL,  FS_NOCOMP_FL};
constexpr uint32_t kProtecting = FS_IMMUTABLE_FL | FS_APPEND_FL;

// The kernel reads and writes an int, whatever the ioctl's number says.
std::optional<uint32_t> GetFlags(int fd) {
  int flags = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return std::nullopt;
  return static_cast<uint32_t>(flags);
}

bool SetFlags(int fd, uint32_t flags) {
  const int value = static_cast<int>(flags);
  return ioctl(fd, FS_IOC_SETFLAGS, &value) == 0;
}

bool AddOne(int fd, uint32_t flag) {
  const std::optional<uint32_t> now = GetFlags(fd);
  if (!now) return false;
  return (*now & flag) == flag || SetFlags(fd, *now | flag);
}

}  // namespace

InodeFlags ReadInodeFlags(int fd) {
  InodeFlags flags;
  const uint32_t all = GetFlags(fd).value_or(0);
  for (const uint32_t flag : kOthers) flags.others |= all & flag;
  flags.protecting = all & kProtecting;
  return flags;
}

bool AddInodeFlags(int fd, uint32_t flags) {
  if (AddOne(fd, flags)) return true;
  // All or nothing: then one by one.
  bool all = true;
  for (const uint32_t flag : kOthers) {
    if ((flags & flag) != 0) all = AddOne(fd, flag) && all;
  }
  return all && (flags & kProtecting) == 0;
}

bool IsProtected(const struct statx& info) {
  return (info.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0;
}

void RemoveProtection(int fd) {
  const std::optional<uint32_t> now = GetFlags(fd);
  if (now) SetFlags(fd, *now & ~kProtecting);
}

}  // namespace ckptfs
