#include "backend/dm/file_usage.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "backend/base/error.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {
namespace {

constexpr size_t kExtentsAtOnce = 512;

}  // namespace

FileUsage MeasureFile(int fd) {
  struct stat status {};
  CheckSyscall(fstat(fd, &status), "ask for the size of a volume's file");
  const uint64_t total = AllocatedBytes(status);
  std::vector<char> buffer(sizeof(fiemap) + kExtentsAtOnce * sizeof(fiemap_extent));
  auto* map = reinterpret_cast<fiemap*>(buffer.data());
  uint64_t shared = 0;
  uint64_t next = 0;
  while (true) {
    std::memset(map, 0, sizeof(fiemap));
    map->fm_start = next;
    map->fm_length = FIEMAP_MAX_OFFSET - next;
    map->fm_extent_count = kExtentsAtOnce;
    if (ioctl(fd, FS_IOC_FIEMAP, map) != 0) return {total, total};
    const std::span<const fiemap_extent> extents(map->fm_extents, map->fm_mapped_extents);
    for (const fiemap_extent& extent : extents) {
      if (extent.fe_flags & FIEMAP_EXTENT_SHARED) shared += extent.fe_length;
    }
    if (extents.empty() || (extents.back().fe_flags & FIEMAP_EXTENT_LAST)) break;
    next = extents.back().fe_logical + extents.back().fe_length;
  }
  return {total, total - std::min(total, shared)};
}

}  // namespace ckptfs
