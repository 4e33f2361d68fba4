// Where scouts hung, so that the next one does not go there.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>

#include "backend/base/mutex.h"
#include "backend/base/scouts.h"

namespace ckptfs {

// Places as one kind of search numbers them: processes, mostly. Each is passed over for some seconds; a process
// that has got the number of one that has ended meanwhile is so, too. Any thread may call anything.
class StuckPlaces {
 public:
  // True if it is news.
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
