// What is known of a thin pool outside of it.
#pragma once

#include <cstdint>
#include <optional>

#include "backend/base/uuid.h"

namespace ckptfs {

// A device that was to be made when this was written.
struct PendingThinDevice {
  uint32_t device = 0;
  VolumeId volume;  // whose file is to name it

  bool operator==(const PendingThinDevice&) const = default;
};

// Written before each change of the pool, and compared with what the pool says of itself: metadata and
// volumes that were put back from different moments would destroy each other.
struct ThinState {
  uint64_t transaction = 0;  // the pool's, or the one after it if a change was cut short
  uint32_t next_device = 1;  // ids are never used again
  std::optional<PendingThinDevice> pending;
  // What is written on the data (backend/dm/thin_mark.h). Empty: nothing yet.
  std::optional<Uuid> data_mark;

  bool operator==(const ThinState&) const = default;
};

// The pool's ids have 24 bits.
inline constexpr uint32_t kThinDeviceMax = (uint32_t{1} << 24) - 1;

// From and to an open file. EUCLEAN if there is none that can be read.
ThinState ReadThinState(int fd);
// Durable on return.
void WriteThinState(int fd, const ThinState& state);

}  // namespace ckptfs
