// Whether there is enough space for something new.
#pragma once

#include <cstdint>

namespace ckptfs {

// kLow: enough, but somebody should know. kShort: too little for anything new to be safe.
enum class SpaceVerdict { kEnough, kLow, kShort };

// Below `hard_bytes` of free space it is short, below `soft_bytes` low; with exactly that much it is not.
struct SpaceFloors {
  uint64_t hard_bytes = 0;
  uint64_t soft_bytes = 0;
};

// For a disk of that size. Hard: the larger of `metadata_bytes`, what metadata takes in the worst case, and
// FreeSpaceFloor (backend/mount/disk_space.h). Soft: 5 GiB or a tenth, whichever is less.
SpaceFloors FloorsOfDisk(uint64_t total_bytes, uint64_t metadata_bytes);

// Never stricter for more free space. A disk with a total of 0 has no limit.
SpaceVerdict JudgeSpace(uint64_t free_bytes, uint64_t total_bytes, const SpaceFloors& floors);

}  // namespace ckptfs
