#include "backend/mount/disk_space.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "backend/base/error.h"
#include "backend/base/units.h"

namespace ckptfs {
namespace {

constexpr uint64_t kFloorBytes = kMiB << 10;
constexpr uint64_t kFloorDivisor = 50;  // 2%
constexpr uint64_t kDefaultMaxBytes = 30 * (kMiB << 10);
constexpr uint64_t kDefaultPercent = 40;

}  // namespace

DiskSpace ReadDiskSpace(int fd) {
  struct statvfs stat {};
  CheckSyscall(fstatvfs(fd, &stat), "ask for the free space");
  return {stat.f_blocks * stat.f_frsize, (stat.f_blocks - stat.f_bfree) * stat.f_frsize,
          stat.f_bavail * stat.f_frsize};
}

bool IsOnReadOnly(int fd) noexcept {
  struct statvfs status {};
  return fstatvfs(fd, &status) == 0 && (status.f_flag & ST_RDONLY) != 0;
}

uint64_t DefaultStoreBytes(const DiskSpace& disk) {
  return disk.total == 0 ? kDefaultMaxBytes
                         : std::min(kDefaultMaxBytes, disk.total / 100 * kDefaultPercent);
}

uint64_t AllocatedBytes(const struct stat& status) {
  constexpr uint64_t kUnit = 512;  // the unit of st_blocks on every filesystem
  return static_cast<uint64_t>(status.st_blocks) * kUnit;
}

uint64_t FreeSpaceFloor(uint64_t total_bytes) {
  return std::min(kFloorBytes, total_bytes / kFloorDivisor);
}

std::string DescribeShortage(std::string_view what, uint64_t left_bytes, uint64_t needed_bytes) {
  return fmt::format("{} has {} MiB left, and {} MiB are kept free", what, left_bytes / kMiB,
                     (needed_bytes + kMiB - 1) / kMiB);
}

}  // namespace ckptfs
