#include "catalog/policies/space_guard.h"

#include <algorithm>

#include "backend/base/units.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {
namespace {

constexpr uint64_t kSoftBytes = 5 * (kMiB << 10);
constexpr uint64_t kSoftDivisor = 10;  // 10%

// Less than that many whole bytes is less than a tenth.
uint64_t TenthOf(uint64_t bytes) {
  return bytes / kSoftDivisor + (bytes % kSoftDivisor == 0 ? 0 : 1);
}

}  // namespace

SpaceFloors FloorsOfDisk(uint64_t total_bytes, uint64_t metadata_bytes) {
  const uint64_t hard = std::max(metadata_bytes, FreeSpaceFloor(total_bytes));
  return {.hard_bytes = hard,
          .soft_bytes = std::max(hard, std::min(kSoftBytes, TenthOf(total_bytes)))};
}

SpaceVerdict JudgeSpace(uint64_t free_bytes, uint64_t total_bytes, const SpaceFloors& floors) {
  if (total_bytes == 0) return SpaceVerdict::kEnough;
  if (free_bytes < floors.hard_bytes) return SpaceVerdict::kShort;
  return free_bytes < floors.soft_bytes ? SpaceVerdict::kLow : SpaceVerdict::kEnough;
}

}  // namespace ckptfs
