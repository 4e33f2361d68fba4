// The storage of a thin pool's data or metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "backend/base/unique_fd.h"
#include "backend/mount/loop_device.h"

namespace ckptfs {

// A file in the store, attached to a loop device, or a block device named by the user. In use for the
// lifetime of this object. Used by one thread at a time.
class PoolDisk {
 public:
  // `name` is for messages: "data". Throws Error EBUSY if the file is already attached: two pools on it would
  // destroy it.
  PoolDisk(UniqueFd file, const std::string& name, bool read_only);
  // Throws Error: ENOENT, ENOTBLK.
  PoolDisk(const std::string& device, bool read_only);

  bool is_file() const noexcept { return loop_.has_value(); }
  int fd() const noexcept { return fd_.get(); }               // of the file or the device
  const std::string& path() const noexcept { return path_; }  // of the block device
  std::string Number() const;                                 // "7:3"
  uint64_t SizeBytes() const;
  // Whether it contains a thin pool's metadata.
  bool HoldsThinMetadata() const;
  uint32_t SectorBytes() const;
  // Extends a file, durably. Does nothing if it is already that long.
  void GrowFile(uint64_t bytes);

 private:
  std::string path_;
  UniqueFd fd_;  // the file or the device
  std::optional<LoopDevice> loop_;
};

// Verifies that a device is suitable for a pool: nothing uses it, and it has no known content. With `wipe`,
// it then overwrites the area where the pool looks for metadata. Throws Error: ENOENT, ENOTBLK, EBUSY, EEXIST
// with the remedy.
void TakeBlankDevice(const std::string& device, bool wipe);

// Reverses TakeBlankDevice: erases the traces of a pool from a device. A device without a pool's data or
// metadata is not changed. Throws Error: ENOENT, ENOTBLK, EBUSY.
void BlankPoolDevice(const std::string& device);

}  // namespace ckptfs
