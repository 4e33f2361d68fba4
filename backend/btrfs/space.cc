#include "backend/btrfs/space.h"

#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/units.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {
namespace {

// Taking a snapshot reserves about 2 MiB of metadata (a handful of items, each with a split at every level of
// the tree on both sides); later writes to the volume need more.
constexpr uint64_t kMetadataFloorBytes = 64 * kMiB;
constexpr uint64_t kMetadataFloorDivisor = 64;
constexpr uint64_t kMetadataFloorLeastBytes = 2 * kMiB;
// Duplicated metadata takes twice its size of unallocated space.
constexpr uint64_t kMetadataCopies = 2;

constexpr char kMakeRoomOnFilesystem[] = "Delete snapshots, or free space on that filesystem";
constexpr char kMakeRoomInImage[] = "Delete snapshots, or files";
constexpr char kEnlargeImage[] = "Delete snapshots, or mount with a larger size=";
constexpr char kFreeDisk[] = "Free space on that disk, or delete snapshots";

// What can still be written into an image: free blocks of its disk, and blocks that it already holds but its
// filesystem does not use at present.
uint64_t WritableInImage(int image_fd, uint64_t used, const DiskSpace& host) {
  struct stat stat {};
  CheckSyscall(fstat(image_fd, &stat), "ask for the size of the image");
  const uint64_t held = AllocatedBytes(stat);
  return host.free + (held > used ? held - used : 0);
}

std::vector<btrfs_ioctl_space_info> ReadSpaceInfo(int fd) {
  // Without room for any: only their number is needed. (C++ has no {} for a zero-size array.)
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init)
  btrfs_ioctl_space_args count;
  std::memset(&count, 0, sizeof(count));
  CheckSyscall(ioctl(fd, BTRFS_IOC_SPACE_INFO, &count), "ask for the use of btrfs's block groups");
  const size_t slots = count.total_spaces;
  std::vector<btrfs_ioctl_space_info> buffer(slots + 1);  // one for the header, which is smaller
  auto* args = reinterpret_cast<btrfs_ioctl_space_args*>(buffer.data());
  args->space_slots = slots;
  args->total_spaces = 0;
  CheckSyscall(ioctl(fd, BTRFS_IOC_SPACE_INFO, args), "ask for the use of btrfs's block groups");
  const std::span<const btrfs_ioctl_space_info> filled(args->spaces,
                                                       std::min<size_t>(args->total_spaces, slots));
  return {filled.begin(), filled.end()};
}

// Bytes of the filesystem's devices that belong to no block group yet.
uint64_t ReadUnallocated(int fd) {
  btrfs_ioctl_fs_info_args info{};
  CheckSyscall(ioctl(fd, BTRFS_IOC_FS_INFO, &info), "ask for btrfs's devices");
  uint64_t unallocated = 0;
  for (uint64_t id = 0; id <= info.max_id; ++id) {
    btrfs_ioctl_dev_info_args device{};
    device.devid = id;
    if (ioctl(fd, BTRFS_IOC_DEV_INFO, &device) != 0) {
      if (errno == ENODEV) continue;
      ThrowErrno("ask for btrfs's devices");
    }
    unallocated += SubtractOrZero(device.total_bytes, device.bytes_used);
  }
  return unallocated;
}

// Metadata that can still be written: free in its block groups, minus btrfs's emergency reserve, plus what
// can become such a block group.
uint64_t MetadataLeft(int fd) {
  uint64_t free = 0;
  uint64_t kept = 0;
  for (const btrfs_ioctl_space_info& group : ReadSpaceInfo(fd)) {
    if (group.flags & BTRFS_SPACE_INFO_GLOBAL_RSV) {
      kept += SubtractOrZero(group.total_bytes, group.used_bytes);
    } else if (group.flags & BTRFS_BLOCK_GROUP_METADATA) {
      free += SubtractOrZero(group.total_bytes, group.used_bytes);
    }
  }
  return SubtractOrZero(free, kept) + ReadUnallocated(fd) / kMetadataCopies;
}

// Whether the disk can give more than what is left of the image.
bool HasMoreThan(const DiskSpace& host, uint64_t left_in_image) {
  return host.free > left_in_image + FreeSpaceFloor(host.total);
}

}  // namespace

SpaceInfo ReadSpace(int fd, int image_fd, uint64_t ballast) {
  const DiskSpace inside = ReadDiskSpace(fd);
  SpaceInfo space{.total_bytes = inside.total,
                  .used_bytes = SubtractOrZero(inside.used, ballast),
                  .free_bytes = inside.free};
  if (image_fd >= 0) {
    const DiskSpace host = ReadDiskSpace(image_fd);
    if (host.total != 0) {  // an unlimited tmpfs reports 0
      space.free_bytes =
          std::min(space.free_bytes, WritableInImage(image_fd, space.used_bytes, host));
    }
  }
  return space;
}

std::vector<SpaceLevel> ReadSpaceLevels(int fd, int image_fd, uint64_t ballast) {
  const DiskSpace inside = ReadDiskSpace(fd);
  const DiskSpace host = image_fd < 0 ? DiskSpace{} : ReadDiskSpace(image_fd);
  const uint64_t metadata = std::clamp(inside.total / kMetadataFloorDivisor,
                                       kMetadataFloorLeastBytes, kMetadataFloorBytes);
  const char* name = image_fd >= 0 ? "the store's image" : "the store's filesystem";
  const std::string remedy = image_fd < 0                               ? kMakeRoomOnFilesystem
                             : HasMoreThan(host, inside.free + ballast) ? kEnlargeImage
                                                                        : kMakeRoomInImage;
  std::vector<SpaceLevel> levels = {{.name = name,
                                     .total_bytes = inside.total,
                                     .free_bytes = inside.free + ballast,
                                     .remedy = remedy},
                                    {.name = fmt::format("the metadata of {}", name),
                                     .total_bytes = inside.total,
                                     .free_bytes = MetadataLeft(fd),
                                     .metadata_bytes = metadata,
                                     .is_metadata = true,
                                     .remedy = remedy}};
  if (host.total == 0) return levels;  // there is none, or an unlimited tmpfs
  SpaceLevel disk{
      .name = "the disk of the store's image",
      .total_bytes = host.total,
      .free_bytes = WritableInImage(image_fd, SubtractOrZero(inside.used, ballast), host),
      .metadata_bytes = kMetadataCopies * metadata,
      .is_overcommitted = ballast > 0,
      .remedy = kFreeDisk};
  if (ballast > 0) {  // it gives no more than that, and keeps the rest free
    disk.total_bytes = std::min(disk.total_bytes, inside.total);
    disk.free_bytes = std::min(disk.free_bytes, inside.free);
  }
  levels.push_back(std::move(disk));
  return levels;
}

}  // namespace ckptfs
