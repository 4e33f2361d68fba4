// Identifies the device with a pool's data.
#pragma once

#include <string>
#include <string_view>

#include "backend/base/uuid.h"
#include "backend/dm/device_mapper.h"

namespace ckptfs {

// The pool's metadata maps the blocks of the data device, but nothing on that device says that it is the
// right one. If its name came to mean another disk, that disk would be overwritten. So the thin device 0,
// which no volume gets, contains a UUID: it is reached through the pool's own mapping, and thus found only if
// the pool's data is there.
//
// In a new pool the mark occupies the first block of the data device: its beginning identifies the device
// even without the pool.
inline constexpr std::string_view kThinMarkBeginning = "ckptfs thin pool data ";

// Both create a device of that name for the duration of the call. The pool must be active. Used by one thread
// at a time.

// Durable on return. Throws Error: ENOSPC, EIO.
void WriteThinMark(DmDevice& pool, const std::string& name, const Uuid& mark);

// Throws Error EIO if it cannot be read.
bool HasThinMark(const DmDevice& pool, const std::string& name, const Uuid& mark);

}  // namespace ckptfs
