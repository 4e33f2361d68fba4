#include "backend/dm/dm_volume.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "backend/base/error.h"
#include "backend/base/proc_path.h"

namespace ckptfs {
namespace {

// From include/linux/exportfs.h and fs/xfs/xfs_export.h. Both filesystems identify a file by inode number and
// generation; xfs also has a form with a 64-bit number.
constexpr int32_t kShortHandle = 1;
constexpr int32_t kLongHandle = 0x81;

struct ShortContent {
  uint32_t inode;
  uint32_t generation;
};
struct LongContent {
  uint64_t inode;
  uint32_t generation;
} __attribute__((packed));

struct Handle {
  uint32_t handle_bytes = sizeof(content);
  int32_t handle_type = 0;
  unsigned char content[sizeof(LongContent)] = {};

  file_handle* raw() noexcept { return reinterpret_cast<file_handle*>(this); }
};
static_assert(offsetof(Handle, content) == offsetof(file_handle, f_handle));

template <typename Content>
FileId Decode(const Handle& handle) {
  Content content{};
  std::memcpy(&content, handle.content, sizeof(content));
  return {content.inode, content.generation};
}

template <typename Content>
void Encode(const FileId& file, Handle* handle) {
  Content content{};
  content.inode = static_cast<decltype(content.inode)>(file.inode);
  content.generation = file.generation;
  std::memcpy(handle->content, &content, sizeof(content));
  handle->handle_bytes = sizeof(content);
}

struct Identity {
  FileId file;
  int32_t handle_type = 0;
  int mount_id = 0;
};

Identity IdentityOf(int dir_fd, const char* name, const VolumeId& id) {
  Handle handle;
  Identity identity;
  const int flags = *name == '\0' ? AT_EMPTY_PATH : 0;
  if (name_to_handle_at(dir_fd, name, handle.raw(), &identity.mount_id, flags) != 0) {
    const int error = errno;
    throw Error(error == EOVERFLOW ? EXDEV : error,
                fmt::format("identify '{}' in volume {}", name, id.str()));
  }
  identity.handle_type = handle.handle_type;
  if (handle.handle_type == kShortHandle) identity.file = Decode<ShortContent>(handle);
  if (handle.handle_type == kLongHandle) identity.file = Decode<LongContent>(handle);
  if (identity.file.inode == 0) {
    throw Error(EXDEV, fmt::format("identify '{}' in volume {}", name, id.str()),
                "it lies outside of the volume");
  }
  return identity;
}

}  // namespace

DmVolume::DmVolume(VolumeId id, std::shared_ptr<const Activation> activation)
    : Volume(std::move(id)), activation_(std::move(activation)) {
  const Identity root = IdentityOf(root_fd(), "", this->id());
  root_inode_ = root.file.inode;
  handle_type_ = root.handle_type;
}

UniqueFd DmVolume::OpenInode(FileId file, int flags) const {
  if (file.generation == 0)
    file.generation = activation_->filesystem().AnyGeneration(root_fd(), file.inode);
  Handle handle;
  handle.handle_type = handle_type_;
  if (handle_type_ == kShortHandle) {
    Encode<ShortContent>(file, &handle);
  } else {
    Encode<LongContent>(file, &handle);
  }
  UniqueFd fd(open_by_handle_at(root_fd(), handle.raw(), flags | O_CLOEXEC));
  if (!fd.valid()) {
    const int error = errno;
    throw Error(error, fmt::format("open inode {} of volume {}", file.inode, id().str()));
  }
  return fd;
}

FileId DmVolume::Identify(int dir_fd, const char* name) const {
  return IdentityOf(dir_fd, name, id()).file;
}

std::string DmVolume::PathOf(uint64_t inode) const {
  try {
    const UniqueFd fd = OpenInode({.inode = inode}, O_PATH | O_NOFOLLOW);
    // Relative to the root of its mount, which is detached.
    std::string path = PathOfDescriptor(fd.get());
    if (path.size() < 2 || path[0] != '/') return {};
    path.erase(0, 1);
    // If the file was removed or is unknown, the path is another file's.
    return Identify(root_fd(), path.c_str()).inode == inode ? path : std::string();
  } catch (const Error&) {
    return {};
  }
}

}  // namespace ckptfs
