// What a thin pool keeps its data, or its metadata, on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "backend/base/unique_fd.h"
#include "backend/mount/loop_device.h"

namespace ckptfs {

// A file in the store, by a loop device, or a block device that the user has named. In use as long as this
// lives. One thread at a time.
class PoolDisk {
 public:
  // `name` is for people: "data". Throws Error EBUSY if something has the file attached: two pools on it
  // would destroy it.
  PoolDisk(UniqueFd file, const std::string& name, bool read_only);
  // Throws Error: ENOENT, ENOTBLK.
  PoolDisk(const std::string& device, bool read_only);

  bool is_file() const noexcept { return loop_.has_value(); }
  int fd() const noexcept { return fd_.get(); }               // of the file, or of the device
  const std::string& path() const noexcept { return path_; }  // of the block device
  std::string Number() const;                                 // "7:3"
  uint64_t SizeBytes() const;
  // Whether the metadata of a thin pool is on it.
  bool HoldsThinMetadata() const;
  uint32_t SectorBytes() const;
  // Makes a file longer, and durable. Nothing happens if it is as long.
  void GrowFile(uint64_t bytes);

 private:
  std::string path_;
  UniqueFd fd_;  // the file, or the device
  std::optional<LoopDevice> loop_;
};

// Makes sure that a device can be a pool's: that nothing uses it and nothing that is known is on it. With
// `wipe` it is then written over where the pool will look for metadata. Throws Error: ENOENT, ENOTBLK,
// EBUSY, EEXIST with what to do.
void TakeBlankDevice(const std::string& device, bool wipe);

// Makes a device that TakeBlankDevice has taken such a one again: what tells that a pool was on it goes.
// What holds neither data nor metadata of a pool stays as it is. Throws Error: ENOENT, ENOTBLK, EBUSY.
void BlankPoolDevice(const std::string& device);

}  // namespace ckptfs
