#include "backend/btrfs/base_home.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/btrfs/btrfs_util.h"
#include "backend/mount/detached_mount.h"

namespace ckptfs {
namespace {

constexpr char kBaseType[] = "btrfs-base";
// On meta/: the UUID of the btrfs filesystem on which the store was created.
constexpr char kMarkXattr[] = "user.ckptfs.filesystem";
constexpr char kPutStoreBack[] =
    "Mount the btrfs filesystem that this store was made on at its place; to move a store to "
    "another filesystem, move its subvolumes with btrfs send and receive";

// The UUID in the mark; empty if there is no mark.
std::optional<std::string> ReadMark(int meta_fd) {
  std::array<char, 64> text{};
  const ssize_t length = fgetxattr(meta_fd, kMarkXattr, text.data(), text.size());
  if (length < 0 && errno == ENODATA) return std::nullopt;
  CheckSyscall(length, "ask meta/ which filesystem the store was made on");
  return std::string(text.data(), static_cast<size_t>(length));
}

void WriteMark(int meta_fd) {
  const std::string uuid = FilesystemUuid(meta_fd);
  CheckSyscall(fsetxattr(meta_fd, kMarkXattr, uuid.data(), uuid.size(), 0),
               "write into meta/ which filesystem the store was made on");
}

void RefuseSize(const BackendOptions& options) {
  if (!options.size_bytes) return;
  throw Error(EINVAL, fmt::format("use size={}", *options.size_bytes),
              "this store has no image: its volumes lie straight on btrfs",
              "Leave size= out, or give backend=btrfs-loop for a new store");
}

}  // namespace

std::optional<std::string> BaseHomeObstacle(int store_fd) {
  if (!IsOnBtrfs(store_fd)) return "it does not lie on btrfs";
  return std::nullopt;
}

void CreateBaseHome(int store_fd, const BackendOptions& options) {
  RefuseSize(options);
  if (const auto obstacle = BaseHomeObstacle(store_fd)) {
    throw Error(EINVAL, "keep volumes in the store's directory", *obstacle,
                "Use backend=btrfs-loop");
  }
  if (BaseHomeExists(store_fd)) {
    throw Error(EEXIST, "make volumes/ and meta/ in the store", "they are there already");
  }
  // If power fails before the mark is on disk: two directories without a volume, which the next creation
  // reuses.
  MakeDirectory(store_fd, kVolumesDirectory);
  Failpoint("base-create.after-volumes");
  MakeDirectory(store_fd, kMetaDirectory);
  const UniqueFd volumes = TryOpenStoreSubdirectory(store_fd, kVolumesDirectory);
  const UniqueFd meta = TryOpenStoreSubdirectory(store_fd, kMetaDirectory);
  if (!volumes.valid() || !meta.valid()) {
    throw Error(ENOTDIR, "make volumes/ and meta/ in the store", "it is not a directory",
                "Move it away");
  }
  Failpoint("base-create.after-meta");
  WriteMark(meta.get());
  Failpoint("base-create.after-mark");
  CheckSyscall(syncfs(meta.get()), "make the new store durable");
  Failpoint("base-create.done");
}

BtrfsHome OpenBaseHome(int store_fd, const BackendOptions& options) {
  RefuseSize(options);
  if (const auto obstacle = BaseHomeObstacle(store_fd)) {
    throw Error(EINVAL, "open the volumes in the store's directory", *obstacle, kPutStoreBack);
  }
  BtrfsHome home;
  home.type = kBaseType;
  home.root = CloneDetached(store_fd,
                            {.read_only = options.read_only, .access_times = options.access_times});
  OpenHomeDirectories(&home, "its directory", kPutStoreBack);
  const std::optional<std::string> made_on = ReadMark(home.meta.get());
  const std::string present = FilesystemUuid(home.meta.get());
  if (!made_on) {
    throw Error(
        EINVAL, "open the volumes in the store's directory",
        "meta/ has lost the note on which filesystem they were made",
        fmt::format("If this is that filesystem: setfattr -n {} -v {} meta", kMarkXattr, present));
  }
  if (*made_on != present) {
    throw Error(
        EINVAL, "open the volumes in the store's directory",
        fmt::format("they were made on btrfs filesystem {}, and this is {}", *made_on, present),
        kPutStoreBack);
  }
  return home;
}

void RemoveBaseHome(int store_fd) {
  // First, since this fails if there is a volume after all.
  if (unlinkat(store_fd, kVolumesDirectory, AT_REMOVEDIR) != 0 && errno != ENOENT) {
    ThrowErrno("remove volumes/");
  }
  RemoveTree(store_fd, kMetaDirectory);
}

bool BaseHomeExists(int store_fd) {
  const UniqueFd volumes = TryOpenStoreSubdirectory(store_fd, kVolumesDirectory);
  if (volumes.valid() && !ReadDirectory(volumes.get()).empty()) return true;
  const UniqueFd meta = TryOpenStoreSubdirectory(store_fd, kMetaDirectory);
  return meta.valid() && ReadMark(meta.get()).has_value();
}

}  // namespace ckptfs
