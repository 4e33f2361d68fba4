// The block device of an active volume.
#pragma once

#include "backend/dm/device_mapper.h"

namespace ckptfs {

// Includes the layers below it. As for DmDevice: used by one thread at a time; the layers below go away with
// the device's last user.
class VolumeDevice {
 public:
  virtual ~VolumeDevice() = default;
  VolumeDevice(const VolumeDevice&) = delete;
  VolumeDevice& operator=(const VolumeDevice&) = delete;

  virtual DmDevice& device() noexcept = 0;

  // False if the kernel has given it up; if true, its content can be copied. Throws Error.
  virtual bool IsSound() const = 0;

 protected:
  VolumeDevice() = default;
};

}  // namespace ckptfs
