// A device in a thin pool, as a block device.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backend/dm/thin_pool.h"
#include "backend/dm/volume_device.h"
#include "backend/mount/loop_device.h"

namespace ckptfs {

// What was never written comes from the base, which nobody may ever write to. The pool has to outlive this.
class ThinDevice final : public VolumeDevice {
 public:
  // The size is the base's. Throws Error: ENODATA if the pool has no device of that id.
  ThinDevice(const ThinPool& pool, uint32_t id, std::shared_ptr<const LoopDevice> base,
             const std::string& name, bool read_only);
  // Without a base, and larger than any: for what is mapped, as it is.
  ThinDevice(const ThinPool& pool, uint32_t id, const std::string& name);

  DmDevice& device() noexcept override { return device_; }
  bool IsSound() const override { return device_.Status() != "Fail"; }
  // Behind the last byte that has a block of the pool; 0 if none has. Throws Error EIO.
  uint64_t MappedEnd() const;

 private:
  std::shared_ptr<const LoopDevice> base_;
  DmDevice device_;  // last: it uses it
};

}  // namespace ckptfs
