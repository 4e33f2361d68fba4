#include "backend/btrfs/loop_home.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/partial_file.h"
#include "backend/base/store_file.h"
#include "backend/base/units.h"
#include "backend/btrfs/btrfs_util.h"
#include "backend/btrfs/superblock.h"
#include "backend/mount/detached_mount.h"
#include "backend/mount/disk_space.h"
#include "backend/mount/mkfs.h"

namespace ckptfs {
namespace {

constexpr char kLoopType[] = "btrfs-loop";
constexpr char kPutImageBack[] =
    "Put the image back from where it was moved to, or from a backup: it holds the files of all "
    "workspaces and snapshots of this store";

// mkfs writes about 5 MiB; the blocks of metadata follow as far as there is space (ImageSpace). With less than this
// an image would be unusable.
constexpr uint64_t kMinHostFreeBytes = 16 * kMiB;
// The kernel shrinks btrfs to no smaller size than this, although it mounts smaller ones.
constexpr uint64_t kMinResizedBytes = 256 * kMiB;
// btrfs needs whole sectors, and the loop device whole blocks.
constexpr uint64_t kSectorBytes = 4096;

uint64_t WholeSectors(uint64_t bytes) { return bytes - bytes % kSectorBytes; }

// Opens the store's directory so that fsync(2) works too, unlike with an O_PATH descriptor.
UniqueFd ReopenDirectory(int fd) {
  return UniqueFd(CheckSyscall(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                               "open the store's directory"));
}

uint64_t ImageSizeFor(int store_fd, const BackendOptions& options) {
  const DiskSpace host = ReadDiskSpace(store_fd);
  if (host.total != 0 && host.free < kMinHostFreeBytes) {
    throw Error(ENOSPC, fmt::format("make {}", kImageName),
                fmt::format("the disk of the store has {} KiB left and {} MiB are needed to start",
                            host.free / 1024, kMinHostFreeBytes / kMiB),
                "Free some space there, or put the store on another disk");
  }
  const uint64_t size = options.size_bytes.value_or(DefaultStoreBytes(host));
  if (size < kMinImageBytes) {
    throw Error(options.size_bytes ? EINVAL : ENOSPC, fmt::format("make {}", kImageName),
                fmt::format("{} bytes are too small for btrfs, which needs at least {} MiB", size,
                            kMinImageBytes / kMiB),
                options.size_bytes ? fmt::format("Give size={}M or more", kMinImageBytes / kMiB)
                                   : "Give size=, or put the store on a larger disk");
  }
  return WholeSectors(size);
}

// Copy-on-write on top of copy-on-write would fragment the image. Only btrfs knows the flag, and only for an
// empty file.
void TurnOffHostCow(int image_fd) {
  if (!IsOnBtrfs(image_fd)) return;
  int flags = 0;
  if (ioctl(image_fd, FS_IOC_GETFLAGS, &flags) == 0) {
    flags |= FS_NOCOW_FL;
    if (ioctl(image_fd, FS_IOC_SETFLAGS, &flags) == 0) return;
  }
  spdlog::warn("{}: cannot turn off copy-on-write of the disk below: {}", kImageName,
               std::strerror(errno));
}

void MakeHomeDirectories(int image_fd) {
  const LoopDevice loop(image_fd, {.read_only = false, .name = "volumes.img.partial"});
  const UniqueFd root = MountDetached("btrfs", loop.path(), {});
  for (const char* name : {kVolumesDirectory, kMetaDirectory}) {
    CheckSyscall(mkdirat(root.get(), name, 0700),
                 fmt::format("make the directory {}/ in the image", name));
  }
  CheckSyscall(syncfs(root.get()), "write the new image");
}

// Opens volumes.img for writing, or for reading if requested or if writing is impossible.
UniqueFd OpenImage(int store_fd, bool* read_only) {
  const std::string attempted = fmt::format("open {}", kImageName);
  UniqueFd fd = TryOpenStoreFile(store_fd, kImageName, *read_only ? O_RDONLY : O_RDWR);
  if (!fd.valid() && errno == EROFS) {
    spdlog::warn("{} lies on a read-only filesystem: attached read-only", kImageName);
    *read_only = true;
    fd = TryOpenStoreFile(store_fd, kImageName, O_RDONLY);
  }
  if (fd.valid()) return fd;
  const int error = errno;
  if (error == ENOENT) {
    throw Error(ENOENT, attempted, "the image is missing from the store's directory",
                kPutImageBack);
  }
  if (error == EUCLEAN) {
    throw Error(EINVAL, attempted, "it is not a regular file", kPutImageBack);
  }
  throw Error(error, attempted);
}

uint64_t FileSize(int fd) {
  struct stat stat {};
  CheckSyscall(fstat(fd, &stat), fmt::format("ask for the size of {}", kImageName));
  return static_cast<uint64_t>(stat.st_size);
}

// Reports what is wrong with an image, as the kernel would only say "wrong fs type".
BtrfsSuperblock CheckImage(int image_fd) {
  const std::string attempted = fmt::format("open {}", kImageName);
  const uint64_t size = FileSize(image_fd);
  const std::optional<BtrfsSuperblock> super = ReadSuperblock(image_fd);
  if (!super) {
    throw Error(EINVAL, attempted,
                size < kMinImageBytes
                    ? fmt::format("it was cut short: {} bytes are left of a btrfs filesystem", size)
                    : "there is no btrfs filesystem in it",
                kPutImageBack);
  }
  if (size < super->total_bytes) {
    throw Error(EINVAL, attempted,
                fmt::format("it was cut short: it has {} bytes and its filesystem {}", size,
                            super->total_bytes),
                kPutImageBack);
  }
  if (super->device_count != 1) {
    throw Error(EINVAL, attempted,
                fmt::format("its filesystem has {} devices", super->device_count),
                "Remove the devices that were added by hand (btrfs device remove)");
  }
  return *super;
}

// Extends the image file as the options say. The filesystem follows once it is mounted; if power fails in
// between, the next mount with the same size= finds the file longer than its filesystem and goes on from
// there. Returns whether the filesystem has to follow.
bool GrowFile(int image_fd, const BtrfsSuperblock& super, const BackendOptions& options,
              bool read_only) {
  if (!options.size_bytes) return false;
  const uint64_t present = WholeSectors(FileSize(image_fd));
  const uint64_t wanted = WholeSectors(*options.size_bytes);
  if (wanted < present) {
    throw Error(EINVAL, fmt::format("open {} with size={}", kImageName, *options.size_bytes),
                fmt::format("it has {} bytes, and an image is never shrunk", present),
                fmt::format("Leave size= out, or give {} or more", present));
  }
  const bool grow = super.total_bytes < wanted;
  if (grow && read_only) {
    throw Error(EROFS, fmt::format("grow {} to {} bytes", kImageName, wanted),
                "the store is read-only", "Mount it writable, or leave size= out");
  }
  if (grow && wanted < kMinResizedBytes) {
    throw Error(EINVAL, fmt::format("grow {} to {} bytes", kImageName, wanted),
                fmt::format("btrfs can only be resized to {} MiB or more", kMinResizedBytes / kMiB),
                fmt::format("Give size={}M or more, or leave size= out", kMinResizedBytes / kMiB));
  }
  if (wanted > present) {
    Failpoint("image-grow.before-truncate");
    CheckSyscall(ftruncate(image_fd, static_cast<off_t>(wanted)),
                 fmt::format("grow {} to {} bytes", kImageName, wanted));
    CheckSyscall(fsync(image_fd), fmt::format("grow {} to {} bytes", kImageName, wanted));
    Failpoint("image-grow.after-truncate");
  }
  return grow;
}

void GrowFilesystem(int root_fd) {
  btrfs_ioctl_vol_args args{};
  std::strcpy(args.name, "1:max");
  CheckSyscall(ioctl(root_fd, BTRFS_IOC_RESIZE, &args),
               fmt::format("grow the filesystem in {}", kImageName));
  CheckSyscall(syncfs(root_fd), fmt::format("grow the filesystem in {}", kImageName));
  Failpoint("image-grow.after-resize");
}

// Two mounts of one image would destroy it, and kernels since 6.7 allow them (the second gets a temporary
// fsid). The device of a daemon that was killed a moment ago disappears by itself.
void RefuseIfAttached(int image_fd) {
  const std::optional<std::string> other = WaitUntilDetached(image_fd);
  if (!other) return;
  throw Error(
      EBUSY, fmt::format("open {}", kImageName), "it is still attached as " + *other,
      fmt::format("End the programs that have files open since before the store's last daemon "
                  "ended; or unmount what else uses that device, then: losetup -d {}",
                  *other));
}

// Data fsynced since the last commit is in a log whose replay needs writing: the kernel refuses a read-only
// device with one. Without the log, the filesystem is as of its last commit.
UniqueFd MountWithoutLog(const LoopDevice& loop, DetachedMountOptions mount,
                         std::vector<std::string>& warnings) {
  mount.filesystem_options = {{"rescue", "nologreplay"}};
  UniqueFd root = MountDetached("btrfs", loop.path(), mount);
  warnings.push_back(fmt::format(
      "{} is read-only after an unclean stop: what programs had made sure of (fsync) in the "
      "last seconds before that does not show. Mount it once so that it can be written to",
      kImageName));
  spdlog::warn("{}", warnings.back());
  return root;
}

UniqueFd MountImage(const LoopDevice& loop, const BackendOptions& options, bool read_only,
                    std::vector<std::string>& warnings) {
  DetachedMountOptions mount{.read_only = read_only, .access_times = options.access_times};
  // So the kernel's SSD detection does not matter: ImageSpace returns deleted blocks.
  if (!read_only) mount.filesystem_options = {{"nodiscard", ""}};
  try {
    try {
      return MountDetached("btrfs", loop.path(), mount);
    } catch (const Error& error) {
      const bool log = error.errno_value() == EIO || error.errno_value() == EROFS;
      if (!read_only || !log) throw;
      return MountWithoutLog(loop, mount, warnings);
    }
  } catch (const Error& error) {
    throw Error(error.errno_value(), fmt::format("mount {}", kImageName), error.why(),
                fmt::format("See the kernel's log (dmesg); `btrfs check --readonly {}` in the "
                            "store's directory shows damage",
                            kImageName));
  }
}

}  // namespace

void CreateLoopHome(int store_fd, const BackendOptions& options) {
  if (LoopHomeExists(store_fd)) {
    throw Error(EEXIST, fmt::format("make {}", kImageName), "there is one already");
  }
  const UniqueFd directory = ReopenDirectory(store_fd);
  const uint64_t size = ImageSizeFor(directory.get(), options);
  // If power fails before Keep: a partial image under a temporary name, which the next creation removes.
  PartialFile image(directory.get(), kImageName);
  Failpoint("image-create.after-open");
  TurnOffHostCow(image.fd());
  CheckSyscall(ftruncate(image.fd(), static_cast<off_t>(size)),
               fmt::format("make {} with {} bytes", kImageName, size));
  MakeBtrfs(image.fd());
  Failpoint("image-create.after-mkfs");
  MakeHomeDirectories(image.fd());
  Failpoint("image-create.after-directories");
  Failpoint("image-create.before-rename");
  image.Keep("image-create.after-rename");
  // From here on: a complete, empty home.
  Failpoint("image-create.done");
}

BtrfsHome OpenLoopHome(int store_fd, const BackendOptions& options) {
  bool read_only = options.read_only;
  BtrfsHome home;
  home.type = kLoopType;
  home.image = OpenImage(store_fd, &read_only);
  const BtrfsSuperblock super = CheckImage(home.image.get());
  RefuseIfAttached(home.image.get());
  const bool grow = GrowFile(home.image.get(), super, options, read_only);
  home.loop.emplace(home.image.get(), LoopOptions{.read_only = read_only, .name = kImageName});
  home.root = MountImage(*home.loop, options, read_only, home.warnings);
  if (grow) GrowFilesystem(home.root.get());
  OpenHomeDirectories(&home, kImageName,
                      fmt::format("This is another btrfs filesystem. {}", kPutImageBack));
  return home;
}

void RemoveLoopHome(int store_fd) {
  for (const std::string& name :
       {kImageName + std::string(kPartialSuffix), std::string(kImageName)}) {
    if (unlinkat(store_fd, name.c_str(), 0) != 0 && errno != ENOENT) ThrowErrno("remove " + name);
  }
}

bool LoopHomeExists(int store_fd) { return HasEntry(store_fd, kImageName); }

}  // namespace ckptfs
