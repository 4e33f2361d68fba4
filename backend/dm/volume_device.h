// The block device of a volume that is in use.
#pragma once

#include "backend/dm/device_mapper.h"

namespace ckptfs {

// With whatever stands behind it. As for DmDevice: one thread at a time, and what is behind goes with the
// device's last user.
class VolumeDevice {
 public:
  virtual ~VolumeDevice() = default;
  VolumeDevice(const VolumeDevice&) = delete;
  VolumeDevice& operator=(const VolumeDevice&) = delete;

  virtual DmDevice& device() noexcept = 0;

  // Whether the kernel has not given it up: what it holds can be copied. Throws Error.
  virtual bool IsSound() const = 0;

 protected:
  VolumeDevice() = default;
};

}  // namespace ckptfs
