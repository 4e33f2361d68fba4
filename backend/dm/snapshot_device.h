// A shared base with a private CoW file, as a block device.
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
    kOverflow,  // the CoW file is full: writes fail, what was written before is whole
    kInvalid,   // the kernel has given it up
  };
  State state = State::kGood;
  // Of the CoW file; 0 unless the state is good.
  uint64_t used_bytes = 0;
  uint64_t total_bytes = 0;
};

// What the kernel says of a snapshot target (Documentation/admin-guide/device-mapper/snapshot.rst).
// Empty if it is nothing that is known.
std::optional<SnapshotUsage> ParseSnapshotStatus(const std::string& status);

// A dm-snapshot device, persistent and with its loop devices. Reads come from the CoW file or, where
// that has nothing, from the base, which nobody may ever write to: a base that changes corrupts all
// devices on it without a word. As for DmDevice, one thread at a time, and it goes with its last user,
// and its loop devices with it.
class SnapshotDevice final : public VolumeDevice {
 public:
  // `base` is shared with the other devices on it and read-only. The size of the device is the base's.
  // What is dm-snapshot's begins at `cow_offset` of the CoW file (whole blocks of 4 KiB).
  // Of a CoW file that something has attached already EBUSY is thrown: two devices that write to one
  // would destroy it.
  SnapshotDevice(std::shared_ptr<const LoopDevice> base, int cow_fd, uint64_t cow_offset,
                 const std::string& name, const std::string& uuid, bool read_only);

  DmDevice& device() noexcept override { return device_; }
  bool IsSound() const override { return Usage().state == SnapshotUsage::State::kGood; }

  // Throws Error EIO for a status that is not understood.
  SnapshotUsage Usage() const;

 private:
  std::shared_ptr<const LoopDevice> base_;
  LoopDevice cow_;
  DmDevice device_;  // last: it uses both
};

}  // namespace ckptfs
