#include "backend/btrfs/btrfs_util.h"

#include <linux/btrfs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <uuid/uuid.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <optional>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

// Numbers of removed devices are not reused.
constexpr uint64_t kDeviceMax = 4096;

// Empty: no such device.
std::optional<uint64_t> CountErrorsOf(int fd, uint64_t device,
                                      std::initializer_list<btrfs_dev_stat_values> kinds) {
  btrfs_ioctl_get_dev_stats stats{};
  stats.devid = device;
  stats.nr_items = BTRFS_DEV_STAT_VALUES_MAX;
  if (ioctl(fd, BTRFS_IOC_GET_DEV_STATS, &stats) != 0) return std::nullopt;
  uint64_t errors = 0;
  for (const btrfs_dev_stat_values kind : kinds) errors += stats.values[kind];
  return errors;
}

// On all devices.
uint64_t CountErrors(int fd, std::initializer_list<btrfs_dev_stat_values> kinds) {
  btrfs_ioctl_fs_info_args info{};
  if (ioctl(fd, BTRFS_IOC_FS_INFO, &info) != 0) return 0;
  uint64_t errors = 0;
  uint64_t seen = 0;
  const uint64_t last = std::min<uint64_t>(info.max_id, kDeviceMax);
  for (uint64_t device = 1; device <= last && seen < info.num_devices; ++device) {
    const std::optional<uint64_t> found = CountErrorsOf(fd, device, kinds);
    if (!found) continue;
    errors += *found;
    ++seen;
  }
  return errors;
}

}  // namespace

void CheckBtrfsUtil(btrfs_util_error result, std::string_view attempted, std::string_view hint) {
  if (result == BTRFS_UTIL_OK) return;
  const int error = errno;
  switch (result) {
    case BTRFS_UTIL_ERROR_NO_MEMORY:
      throw Error(ENOMEM, attempted, {}, hint);
    case BTRFS_UTIL_ERROR_NOT_BTRFS:
    case BTRFS_UTIL_ERROR_NOT_SUBVOLUME:
      throw Error(EINVAL, attempted, btrfs_util_strerror(result), hint);
    case BTRFS_UTIL_ERROR_SUBVOLUME_NOT_FOUND:
      throw Error(ENOENT, attempted, btrfs_util_strerror(result), hint);
    default:
      throw Error(error == 0 ? EIO : error, attempted, {}, hint);
  }
}

bool IsOnBtrfs(int fd) {
  struct statfs stat {};
  CheckSyscall(fstatfs(fd, &stat), "ask for the type of the filesystem");
  return static_cast<uint64_t>(stat.f_type) == BTRFS_SUPER_MAGIC;
}

std::string FilesystemUuid(int fd) {
  btrfs_ioctl_fs_info_args info{};
  CheckSyscall(ioctl(fd, BTRFS_IOC_FS_INFO, &info), "ask for the btrfs filesystem's UUID");
  std::array<char, UUID_STR_LEN> text{};
  uuid_unparse_lower(info.fsid, text.data());
  return text.data();
}

uint64_t SubvolumeId(int fd) {
  uint64_t id = 0;
  CheckBtrfsUtil(btrfs_util_subvolume_id_fd(fd, &id), "ask for a subvolume's id");
  return id;
}

uint64_t LastChangeTransaction(int fd) {
  btrfs_ioctl_get_subvol_info_args info{};
  CheckSyscall(ioctl(fd, BTRFS_IOC_GET_SUBVOL_INFO, &info), "ask for a subvolume's last change");
  return info.ctransid;
}

uint64_t FirstTransactionAfter(int fd) {
  btrfs_ioctl_get_subvol_info_args info{};
  CheckSyscall(ioctl(fd, BTRFS_IOC_GET_SUBVOL_INFO, &info), "ask when a subvolume was made");
  return std::max(info.ctransid, info.otransid) + 1;
}

uint64_t CountDamage(int fd) {
  return CountErrors(fd, {BTRFS_DEV_STAT_CORRUPTION_ERRS, BTRFS_DEV_STAT_GENERATION_ERRS,
                          BTRFS_DEV_STAT_READ_ERRS});
}

uint64_t CountWriteErrors(int fd) {
  return CountErrors(fd, {BTRFS_DEV_STAT_WRITE_ERRS, BTRFS_DEV_STAT_FLUSH_ERRS});
}

}  // namespace ckptfs
