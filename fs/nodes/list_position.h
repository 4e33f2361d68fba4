// Where a listing goes on, and where it ends.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace ckptfs {

// The kernel opens no directory here, and says of a listing only the position after the last entry that
// it was given. Where entries stand in the order in which they were made, a listing that went to whatever
// is the end then would not end: what is renamed, or made, while it goes on comes to stand after it. So
// each ends where the directory ended when it began, and its positions hold that.
struct ListPosition {
  int64_t next = 0;  // the least number of an entry that has not been listed
  int64_t last = 0;  // the largest number of one that is to be; 0: of any

  bool AtEnd() const { return last != 0 && next > last; }

  // As the kernel is given it. A number that is too large for that is one without an end.
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
