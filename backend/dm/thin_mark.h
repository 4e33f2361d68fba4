// What tells the device with a pool's data from any other.
#pragma once

#include <string>
#include <string_view>

#include "backend/base/uuid.h"
#include "backend/dm/device_mapper.h"

namespace ckptfs {

// The pool's metadata says which blocks of the data device are whose, and nothing on that device says
// that it is the right one: after its name has come to mean another disk, that disk would be written
// over. So the thin device 0, which no volume gets, holds a UUID: it is found through the pool's own
// mapping, and thus only where the pool's data are.
//
// In a new pool the first block of the data device is the mark's: by its beginning it is known for what it
// is also without the pool.
inline constexpr std::string_view kThinMarkBeginning = "ckptfs thin pool data ";

// Both make a device of that name for the time of the call. The pool must be active; one thread at a time.

// Durable on return. Throws Error: ENOSPC, EIO.
void WriteThinMark(DmDevice& pool, const std::string& name, const Uuid& mark);

// Throws Error EIO where it cannot be read.
bool HasThinMark(const DmDevice& pool, const std::string& name, const Uuid& mark);

}  // namespace ckptfs
