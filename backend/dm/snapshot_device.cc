#include "backend/dm/snapshot_device.h"

#include <fmt/format.h>

#include <cerrno>
#include <sstream>
#include <utility>

#include "backend/base/error.h"
#include "backend/dm/cow_file.h"

namespace ckptfs {
namespace {

// P: persistent. O: reports an overflow, as distinct from damage.
DmTable TableOf(const LoopDevice& base, const LoopDevice& cow) {
  return {.sectors = base.SizeBytes() / kDmSectorBytes,
          .type = "snapshot",
          .parameters = fmt::format("{} {} PO {}", base.Number(), cow.Number(), kCowChunkSectors)};
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
  // "16/131072 8": sectors used, total, and used for metadata.
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
              fmt::format("unknown status '{}'", status));
}

}  // namespace ckptfs
