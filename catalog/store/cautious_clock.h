// A clock for decisions that cannot be taken back.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>

#include "backend/base/time.h"

namespace ckptfs {

// The time of day, but never more ahead of that at the construction than the machine has since
// been up: if somebody sets the clock forward by a year, nothing gets a year older by it. Set back,
// it makes things younger, or puts their birth into the future: they are young then. Immutable: any
// thread.
class CautiousClock {
 public:
  // Nanoseconds since the epoch.
  int64_t NowNs() const { return std::min(ckptfs::NowNs(), started_ns_ + (UpNs() - up_ns_)); }

 private:
  // Counts the time that the machine sleeps, and nobody can set it.
  static int64_t UpNs() {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec;
  }

  const int64_t started_ns_ = ckptfs::NowNs();
  const int64_t up_ns_ = UpNs();
};

}  // namespace ckptfs
