#include "backend/dm/image_filesystem.h"

#include <endian.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xfs/xfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <fstream>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/units.h"
#include "backend/mount/mkfs.h"

namespace ckptfs {
namespace {

constexpr uint64_t kBlockBytes = 4096;
// ext4's default reservation: 2%, and no more than this many blocks.
constexpr uint64_t kKeptDivisor = 50;
constexpr uint64_t kKeptBlocksMax = 4096;
constexpr uint64_t kXfsKeptDivisor = 20;
constexpr uint64_t kXfsKeptBlocksMax = 8192;

// The value at that offset of an image; 0 beyond its end.
template <typename Number>
Number ReadNumber(int image_fd, off_t offset) {
  Number number = 0;
  return pread(image_fd, &number, sizeof(number), offset) == sizeof(number) ? number : Number{0};
}

// ext4's sysfs directory for one filesystem (Documentation/ABI/testing/sysfs-fs-ext4). Empty if it cannot be
// found.
std::string Ext4Settings(int root_fd) {
  struct stat status {};
  std::array<char, PATH_MAX> device{};
  if (fstat(root_fd, &status) != 0) return {};
  const std::string link =
      fmt::format("/sys/dev/block/{}:{}", major(status.st_dev), minor(status.st_dev));
  if (readlink(link.c_str(), device.data(), device.size() - 1) < 0) return {};
  const std::string_view path(device.data());
  return fmt::format("/sys/fs/ext4/{}/", path.substr(path.rfind('/') + 1));
}

class Ext4 final : public ImageFilesystem {
 public:
  std::string name() const override { return "ext4"; }
  // s_log_block_size, 24 bytes into the superblock.
  uint64_t SectorBytes(int image_fd) const override {
    return uint64_t{1024} << (le32toh(ReadNumber<uint32_t>(image_fd, 1024 + 24)) & 31);
  }
  // s_feature_compat, 92 bytes into the superblock. Without a journal, a power failure leaves a filesystem
  // that needs a check, and a change can write as little as a single block: see FreezeBytes.
  std::string Lack(int image_fd) const override {
    constexpr uint32_t kHasJournal = 0x4;
    const bool has = (le32toh(ReadNumber<uint32_t>(image_fd, 1024 + 92)) & kHasJournal) != 0;
    return has ? "" : "has_journal";
  }
  uint64_t MinBytes() const override { return 16 * kMiB; }
  void Make(int image_fd) const override { MakeExt4(image_fd); }
  // When the first file is opened, ext4 records the mount point in the superblock (ext4_sample_last_mounted).
  // If there is no room for this file, there will be for the record.
  void Settle(int root_fd) const override {
    const UniqueFd file(openat(root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  }
  // The superblock, which says whether the journal needs replay (ext4_freeze, ext4_unfreeze). A change takes
  // three blocks in the journal alone.
  uint64_t FreezeBytes() const override { return kBlockBytes; }
  uint64_t ThawBytes() const override { return kBlockBytes; }

  // Each error stops the filesystem, because of the mount options (below).
  uint64_t ErrorCount(int root_fd) const override {
    uint64_t count = 0;
    std::ifstream(Ext4Settings(root_fd) + "errors_count") >> count;
    return count;
  }

  // Sets the number of reserved blocks, which nobody can use, root included.
  bool LimitGrowth(int root_fd, uint64_t bytes) const override {
    struct statvfs space {};
    if (fstatvfs(root_fd, &space) != 0) return false;
    const std::string setting = Ext4Settings(root_fd) + "reserved_clusters";
    uint64_t kept = 0;
    if (!(std::ifstream(setting) >> kept)) return false;
    const uint64_t left = bytes / kBlockBytes;
    const bool limited = left < space.f_bfree;
    const uint64_t usual = std::min(space.f_blocks / kKeptDivisor, kKeptBlocksMax);
    const uint64_t wanted = limited ? std::max(space.f_bfree - left, usual) : usual;
    if (wanted != kept) std::ofstream(setting) << wanted << std::flush;
    return limited;
  }
  // ext4 ignores a generation of 0 (ext4_nfs_get_inode).
  uint32_t AnyGeneration(int /*root_fd*/, uint64_t /*inode*/) const override { return 0; }

 private:
  void AddOptions(ImageMount how, DetachedMountOptions& options) const override {
    if (how == ImageMount::kWritable) {
      // Whatever is wrong with the disk below, nothing overwrites intact data. And nothing is written in the
      // background: that would count as a change.
      options.filesystem_options = {{"errors", "remount-ro"}, {"noinit_itable", ""}};
    } else if (how == ImageMount::kWithoutJournal) {
      options.filesystem_options = {{"noload", ""}};
    }
  }
};

class Xfs final : public ImageFilesystem {
 public:
  std::string name() const override { return "xfs"; }
  // sb_sectsize.
  uint64_t SectorBytes(int image_fd) const override {
    return be16toh(ReadNumber<uint16_t>(image_fd, 102));
  }
  uint64_t MinBytes() const override { return 300 * kMiB; }
  void Make(int image_fd) const override { MakeXfs(image_fd); }
  // xfs does write a log record, some time later. But a record of a real change can be as small: better to
  // count it as a change.
  uint64_t FreezeBytes() const override { return 0; }
  uint64_t ThawBytes() const override { return 0; }

  // Sets the reserved blocks (xfs_reserve_blocks), which statvfs(3) does not count as free.
  bool LimitGrowth(int root_fd, uint64_t bytes) const override {
    struct statvfs space {};
    xfs_fsop_resblks kept{};
    if (fstatvfs(root_fd, &space) != 0 || ioctl(root_fd, XFS_IOC_GET_RESBLKS, &kept) != 0) {
      return false;
    }
    const uint64_t free = space.f_bfree + kept.resblks_avail;
    const uint64_t left = bytes / space.f_frsize;
    // The value of xfs_default_resblks.
    const uint64_t usual = std::min<uint64_t>(space.f_blocks / kXfsKeptDivisor, kXfsKeptBlocksMax);
    const bool limited = left + usual < free;
    const uint64_t wanted = limited ? free - left : usual;
    if (wanted != std::exchange(kept.resblks, wanted)) ioctl(root_fd, XFS_IOC_SET_RESBLKS, &kept);
    return limited;
  }
  // A filesystem that has shut down does not answer.
  uint64_t ErrorCount(int root_fd) const override {
    struct stat status {};
    return fstat(root_fd, &status) != 0 && errno == EIO ? 1 : 0;
  }

  uint32_t AnyGeneration(int root_fd, uint64_t inode) const override {
    const std::string attempted = fmt::format("look for inode {}", inode);
    __u64 number = inode;
    __s32 count = 0;
    xfs_bstat found{};
    xfs_fsop_bulkreq request{};
    request.lastip = &number;
    request.icount = 1;
    request.ubuffer = &found;
    request.ocount = &count;
    if (ioctl(root_fd, XFS_IOC_FSBULKSTAT_SINGLE, &request) != 0) {
      const int error = errno;
      // The inode does not exist, or is not in use.
      throw Error(error == EINVAL || error == ENOENT ? ESTALE : error, attempted);
    }
    if (found.bs_ino != inode) throw Error(ESTALE, attempted);
    return found.bs_gen;
  }

 private:
  void AddOptions(ImageMount how, DetachedMountOptions& options) const override {
    // A clone has the UUID of its source.
    options.filesystem_options = {{"nouuid", ""}};
    // Freezing dirties the log to force a recovery. A read-only device cannot replay it, and an image without
    // open unlinked files does not need that.
    if (how != ImageMount::kWritable) options.filesystem_options.emplace_back("norecovery", "");
  }
};

const Ext4 kExt4;
const Xfs kXfs;

}  // namespace

const ImageFilesystem& ImageFilesystem::Named(std::string_view name) {
  if (name == "ext4") return kExt4;
  if (name == "xfs") return kXfs;
  throw Error(EINVAL, fmt::format("use the filesystem '{}'", name), "it is neither ext4 nor xfs",
              "Use one of these");
}

const ImageFilesystem* ImageFilesystem::In(int image_fd) {
  // include/uapi/linux/magic.h; ext4's superblock starts at 1024 and has its magic at 56.
  if (le16toh(ReadNumber<uint16_t>(image_fd, 1024 + 56)) == 0xef53) return &kExt4;
  if (be32toh(ReadNumber<uint32_t>(image_fd, 0)) == 0x58465342) return &kXfs;
  return nullptr;
}

UniqueFd ImageFilesystem::Mount(const std::string& device, const ImageMountOptions& wanted) const {
  const bool writable = wanted.how == ImageMount::kWritable;
  DetachedMountOptions options{.read_only = !writable, .access_times = wanted.access_times};
  AddOptions(wanted.how, options);
  if (writable && wanted.discard) options.filesystem_options.emplace_back("discard", "");
  return MountDetached(name(), device, options);
}

}  // namespace ckptfs
