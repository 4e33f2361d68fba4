// A block device: a shared base with a private CoW file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "backend/dm/volume_device.h"
#include "backend/mount/loop_device.h"

namespace ckptfs {

struct SnapshotUsage {
  enum class State {
    kGood,
    kOverflow,  // the CoW file is full: writes fail, earlier data is intact
    kInvalid,   // given up by the kernel
  };
  State state = State::kGood;
  // In the CoW file; 0 unless the state is good.
  uint64_t used_bytes = 0;
  uint64_t total_bytes = 0;
};

// Parses the status of a snapshot target (Documentation/admin-guide/device-mapper/snapshot.rst). Empty if it
// is unknown.
std::optional<SnapshotUsage> ParseSnapshotStatus(const std::string& status);

// A persistent dm-snapshot device with its loop devices. Reads come from the CoW file or, for unchanged
// chunks, from the base. Nobody may ever write to the base: that would silently corrupt all devices on it. As
// for DmDevice: used by one thread at a time; the device and its loop devices go away with the last user.
class SnapshotDevice final : public VolumeDevice {
 public:
  // `base` is read-only, and shared with other devices. The device has the base's size. dm-snapshot's store
  // begins at `cow_offset` of the CoW file (a multiple of 4 KiB). Throws EBUSY if the CoW file is already
  // attached: two devices writing to it would destroy it.
  SnapshotDevice(std::shared_ptr<const LoopDevice> base, int cow_fd, uint64_t cow_offset,
                 const std::string& name, const std::string& uuid, bool read_only);

  DmDevice& device() noexcept override { return device_; }
  bool IsSound() const override { return Usage().state == SnapshotUsage::State::kGood; }

  // Throws Error EIO for an unknown status.
  SnapshotUsage Usage() const;

 private:
  std::shared_ptr<const LoopDevice> base_;
  LoopDevice cow_;
  DmDevice device_;  // last: it uses both
};

}  // namespace ckptfs
