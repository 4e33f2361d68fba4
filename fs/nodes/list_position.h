// Where a listing continues, and where it ends.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace ckptfs {

// The kernel opens no directory here, and passes only the position after the last entry it was given. Entries
// are in order of creation. Names created or renamed during a listing come after its position, so a listing
// up to the current end might never finish. So each listing ends where the directory ended when it began, and
// its positions encode that end.
struct ListPosition {
  int64_t next = 0;  // the smallest number of an entry that has not been listed
  int64_t last = 0;  // the largest number to be listed; 0: no limit

  bool AtEnd() const { return last != 0 && next > last; }

  // The position as the kernel gets it. If a number is too large to encode, the position has no end.
  off_t Encode() const {
    if (last <= 0 || last > kLastMax) return next;
    return kHasEnd | last << kNextBits | (next > kNextMax ? kNextMax : next);
  }
  static ListPosition Decode(off_t position) {
    if ((position & kHasEnd) == 0) return {.next = position, .last = 0};
    return {.next = position & kNextMax, .last = (position ^ kHasEnd) >> kNextBits};
  }

 private:
  static constexpr int kNextBits = 31;
  static constexpr int64_t kNextMax = (int64_t{1} << kNextBits) - 1;
  static constexpr off_t kHasEnd = off_t{1} << 61;

 public:
  static constexpr int64_t kLastMax = (int64_t{1} << 30) - 1;
};

}  // namespace ckptfs
