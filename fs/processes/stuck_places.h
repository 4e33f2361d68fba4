// Where scouts hung, so that the next one skips it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>

#include "backend/base/mutex.h"
#include "backend/base/scouts.h"

namespace ckptfs {

// Places in the numbering of one kind of search: mostly PIDs. Each is skipped for some seconds; so is a
// process that reuses the PID in that time. Thread-safe.
class StuckPlaces {
 public:
  // True if it is new.
  bool Add(uint64_t place) {
    const MutexLock lock(mutex_);
    return places_.insert_or_assign(place, Scouts::Clock::now() + kKept).second;
  }

  std::set<uint64_t> Now() {
    const MutexLock lock(mutex_);
    const auto now = Scouts::Clock::now();
    std::erase_if(places_, [now](const auto& one) { return one.second < now; });
    std::set<uint64_t> places;
    for (const auto& [place, until] : places_) places.insert(places.end(), place);
    return places;
  }

 private:
  static constexpr std::chrono::seconds kKept{10};

  Mutex mutex_;
  std::map<uint64_t, Scouts::Clock::time_point> places_ GUARDED_BY(mutex_);  // until when
};

}  // namespace ckptfs
