// A thin pool's state outside of the pool.
#pragma once

#include <cstdint>
#include <optional>

#include "backend/base/uuid.h"

namespace ckptfs {

// A device that was about to be created when this was written.
struct PendingThinDevice {
  uint32_t device = 0;
  VolumeId volume;  // whose file will name it

  bool operator==(const PendingThinDevice&) const = default;
};

// Written before each change of the pool, and compared with the pool's own state: metadata and volumes
// restored from different moments would destroy each other.
struct ThinState {
  uint64_t transaction = 0;  // the pool's, or the next one if a change was interrupted
  uint32_t next_device = 1;  // ids are never reused
  std::optional<PendingThinDevice> pending;
  // The mark on the data (backend/dm/thin_mark.h). Empty: nothing yet.
  std::optional<Uuid> data_mark;

  bool operator==(const ThinState&) const = default;
};

// The pool's ids have 24 bits.
inline constexpr uint32_t kThinDeviceMax = (uint32_t{1} << 24) - 1;

// From and to an open file. EUCLEAN if it has no readable state.
ThinState ReadThinState(int fd);
// Durable on return.
void WriteThinState(int fd, const ThinState& state);

}  // namespace ckptfs
