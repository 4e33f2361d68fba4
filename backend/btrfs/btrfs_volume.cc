#include "backend/btrfs/btrfs_volume.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "backend/base/error.h"
#include "backend/btrfs/btrfs_util.h"

namespace ckptfs {
namespace {

// From fs/btrfs/export.h and exportfs.h: inode, subvolume and generation, without those of the parent.
constexpr int32_t kHandleType = 0x4d;
constexpr uint32_t kHandleBytes = 20;

// struct file_handle with btrfs's contents. The kernel's struct has no padding, and neither has this one up
// to its end.
struct BtrfsHandle {
  uint32_t handle_bytes = kHandleBytes;
  int32_t handle_type = kHandleType;
  uint64_t objectid = 0;
  uint64_t root_objectid = 0;
  uint32_t generation = 0;

  file_handle* raw() noexcept { return reinterpret_cast<file_handle*>(this); }
};
static_assert(offsetof(BtrfsHandle, objectid) == offsetof(file_handle, f_handle));
static_assert(offsetof(BtrfsHandle, generation) + sizeof(uint32_t) ==
              offsetof(file_handle, f_handle) + kHandleBytes);

}  // namespace

BtrfsVolume::BtrfsVolume(VolumeId id, UniqueFd root_fd)
    : Volume(std::move(id)), root_fd_(std::move(root_fd)), root_id_(SubvolumeId(root_fd_.get())) {}

uint64_t BtrfsVolume::root_inode() const noexcept { return kSubvolumeRootInode; }

UniqueFd BtrfsVolume::OpenInode(FileId file, int flags) const {
  BtrfsHandle handle;
  handle.objectid = file.inode;
  handle.root_objectid = root_id_;
  handle.generation = file.generation;  // btrfs skips its check if this is 0
  UniqueFd fd(open_by_handle_at(root_fd_.get(), handle.raw(), flags | O_CLOEXEC));
  if (!fd.valid()) {
    const int error = errno;
    throw Error(error, fmt::format("open inode {} of volume {}", file.inode, id().str()));
  }
  return fd;
}

FileId BtrfsVolume::Identify(int dir_fd, const char* name) const {
  BtrfsHandle handle;
  int mount_id = 0;
  const int flags = *name == '\0' ? AT_EMPTY_PATH : 0;
  if (name_to_handle_at(dir_fd, name, handle.raw(), &mount_id, flags) != 0) {
    const int error = errno;
    throw Error(error, fmt::format("identify '{}' in volume {}", name, id().str()));
  }
  if (handle.handle_type != kHandleType || handle.handle_bytes != kHandleBytes ||
      handle.root_objectid != root_id_ || handle.objectid < kSubvolumeRootInode) {
    throw Error(EXDEV, fmt::format("identify '{}' in volume {}", name, id().str()),
                "it lies outside of the volume");
  }
  return {handle.objectid, handle.generation};
}

std::string BtrfsVolume::PathOf(uint64_t inode) const {
  // The kernel fills at most 4 KiB, however large the buffer. A header comes first, then an array of offsets,
  // counted from the array's own beginning, at which the names are.
  alignas(btrfs_data_container) std::array<char, 4096> buffer{};
  btrfs_ioctl_ino_path_args args{};
  args.inum = inode;
  args.size = buffer.size();
  args.fspath = reinterpret_cast<uint64_t>(buffer.data());
  if (ioctl(root_fd_.get(), BTRFS_IOC_INO_PATHS, &args) != 0) return {};
  const auto* const found = reinterpret_cast<const btrfs_data_container*>(buffer.data());
  if (found->elem_cnt == 0) return {};
  const size_t begin = offsetof(btrfs_data_container, val) + found->val[0];
  if (begin >= buffer.size()) return {};
  const char* const path = buffer.data() + begin;
  return {path, strnlen(path, buffer.size() - begin)};
}

}  // namespace ckptfs
