#include "backend/dm/snapshot_device.h"

#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <utility>

#include "backend/base/error.h"
#include "backend/dm/cow_file.h"

namespace ckptfs {
namespace {

// "7:3", which needs no node in /dev.
std::string NumberOf(const LoopDevice& loop) {
  struct stat status {};
  CheckSyscall(fstat(loop.fd(), &status), "look at " + loop.path());
  return fmt::format("{}:{}", major(status.st_rdev), minor(status.st_rdev));
}

uint64_t SectorsOf(const LoopDevice& loop) {
  uint64_t bytes = 0;
  CheckSyscall(ioctl(loop.fd(), BLKGETSIZE64, &bytes), "ask for the size of " + loop.path());
  return bytes / kDmSectorBytes;
}

// P: the CoW file is kept. O: that it is full can be told from its being damaged.
DmTable TableOf(const LoopDevice& base, const LoopDevice& cow) {
  return {
      .sectors = SectorsOf(base),
      .type = "snapshot",
      .parameters = fmt::format("{} {} PO {}", NumberOf(base), NumberOf(cow), kCowChunkSectors)};
}

LoopDevice AttachCow(int cow_fd, uint64_t offset, const std::string& name, bool read_only) {
  if (!read_only) {
    if (const auto other = WaitUntilDetached(cow_fd)) {
      throw Error(EBUSY, "attach the CoW file of " + name, "it is attached as " + *other,
                  "Find out what uses that device (losetup, dmsetup ls --tree) and end it");
    }
  }
  return LoopDevice(cow_fd, {.read_only = read_only, .offset_bytes = offset, .name = name});
}

}  // namespace

std::optional<SnapshotUsage> ParseSnapshotStatus(const std::string& status) {
  if (status == "Invalid" || status == "Unknown" || status == "Merge failed") {
    return SnapshotUsage{.state = SnapshotUsage::State::kInvalid};
  }
  if (status == "Overflow") return SnapshotUsage{.state = SnapshotUsage::State::kOverflow};
  // "16/131072 8": sectors used, in all, and of the used ones those that hold metadata.
  std::istringstream words(status);
  SnapshotUsage usage;
  char slash = 0;
  uint64_t metadata = 0;
  if (!(words >> usage.used_bytes >> slash >> usage.total_bytes >> metadata) || slash != '/') {
    return std::nullopt;
  }
  usage.used_bytes *= kDmSectorBytes;
  usage.total_bytes *= kDmSectorBytes;
  return usage;
}

SnapshotDevice::SnapshotDevice(std::shared_ptr<const LoopDevice> base, int cow_fd,
                               uint64_t cow_offset, const std::string& name,
                               const std::string& uuid, bool read_only)
    : base_(std::move(base)),
      cow_(AttachCow(cow_fd, cow_offset, name, read_only)),
      device_(name, uuid, TableOf(*base_, cow_), read_only) {}

SnapshotUsage SnapshotDevice::Usage() const {
  const std::string status = device_.Status();
  if (const auto usage = ParseSnapshotStatus(status)) return *usage;
  throw Error(EIO, "read the status of the device " + device_.name(),
              fmt::format("'{}' is none that is known", status));
}

std::optional<uint64_t> SnapshotDevice::WrittenBytes() const {
  struct stat status {};
  CheckSyscall(stat(path().c_str(), &status), "look at " + path());
  std::ifstream file(
      fmt::format("/sys/dev/block/{}:{}/stat", major(status.st_rdev), minor(status.st_rdev)));
  // Documentation/block/stat.rst: the seventh number is that of sectors written.
  constexpr int kBefore = 6;
  uint64_t number = 0;
  for (int i = 0; i < kBefore; ++i) file >> number;
  if (!(file >> number)) return std::nullopt;
  return number * kDmSectorBytes;
}

}  // namespace ckptfs
