// A clock for irreversible decisions.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>

#include "backend/base/time.h"

namespace ckptfs {

// The time of day, limited to the time at construction plus the uptime since then: setting the clock forward
// by a year makes nothing a year older. Setting it back makes things younger, or puts their creation into the
// future: then they count as young. Immutable, so thread-safe.
class CautiousClock {
 public:
  // Nanoseconds since the epoch.
  int64_t NowNs() const { return std::min(ckptfs::NowNs(), started_ns_ + (UpNs() - up_ns_)); }

 private:
  // Includes suspend time, and cannot be set.
  static int64_t UpNs() {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec;
  }

  const int64_t started_ns_ = ckptfs::NowNs();
  const int64_t up_ns_ = UpNs();
};

}  // namespace ckptfs
