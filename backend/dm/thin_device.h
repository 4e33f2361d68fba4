// A thin device of a pool, as a block device.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backend/dm/thin_pool.h"
#include "backend/dm/volume_device.h"
#include "backend/mount/loop_device.h"

namespace ckptfs {

// Unwritten blocks are read from the base, which nobody may ever write to. The pool must outlive this object.
class ThinDevice final : public VolumeDevice {
 public:
  // It has the base's size. Throws Error: ENODATA if the pool has no device of that id.
  ThinDevice(const ThinPool& pool, uint32_t id, std::shared_ptr<const LoopDevice> base,
             const std::string& name, bool read_only);
  // Without a base, and larger than any: to access the mapped blocks as they are.
  ThinDevice(const ThinPool& pool, uint32_t id, const std::string& name);

  DmDevice& device() noexcept override { return device_; }
  bool IsSound() const override { return device_.Status() != "Fail"; }
  // The end of the last mapped block, in bytes; 0 if none is mapped. Throws Error EIO.
  uint64_t MappedEnd() const;

 private:
  std::shared_ptr<const LoopDevice> base_;
  DmDevice device_;  // last: it uses it
};

}  // namespace ckptfs
