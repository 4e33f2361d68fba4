// Priority for checkpoints on a busy disk.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>

#include "backend/base/mutex.h"

namespace ckptfs {

// A checkpoint waits for work that the underlying filesystem has accepted before it, of any workspace: data
// on its way to the disk, and calls that take part in the transaction which it commits. It cannot overtake
// that work, but the amount can be limited: code whose work can wait for some milliseconds calls this before
// each piece of it.
//
// No caller waits for holders that come later, nor for one that takes long: so nobody starves, however many
// there are. Thread-safe.
class RightOfWay {
 public:
  using Clock = std::chrono::steady_clock;

  // The caller has the right of way while this exists, but at most for kHeldMax.
  class Held {
   public:
    explicit Held(RightOfWay& way) : way_(way), turn_(way.Take()) {}
    ~Held() { way_.Return(turn_); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    RightOfWay& way_;
    const uint64_t turn_;
  };

  static constexpr std::chrono::milliseconds kHeldMax{100};

  // Waits, at most for `max`, until the present holders are gone. Returns the time waited.
  Clock::duration GiveWay(Clock::duration max) {
    if (holders_ == 0) return {};
    const auto begin = Clock::now();
    MutexLock lock(mutex_);
    const uint64_t end = next_;
    while (!since_.empty() && since_.begin()->first < end) {
      const auto deadline = std::min(begin + max, since_.begin()->second + kHeldMax);
      if (Clock::now() >= deadline) break;
      changed_.wait_until(lock.native(), deadline);
    }
    return Clock::now() - begin;
  }

 private:
  uint64_t Take() {
    const MutexLock lock(mutex_);
    since_.emplace(next_, Clock::now());
    ++holders_;
    return next_++;
  }

  void Return(uint64_t turn) {
    const MutexLock lock(mutex_);
    since_.erase(turn);
    --holders_;
    changed_.notify_all();
  }

  Mutex mutex_;
  std::condition_variable changed_;
  std::atomic<size_t> holders_{0};  // size of `since_`
  std::map<uint64_t, Clock::time_point> since_ GUARDED_BY(mutex_);
  uint64_t next_ GUARDED_BY(mutex_) = 0;
};

}  // namespace ckptfs
