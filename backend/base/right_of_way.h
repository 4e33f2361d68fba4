// Who goes first where the disk cannot serve all at once.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace ckptfs {

// A checkpoint waits for what the filesystem underneath has taken on before it, of whatever workspace: data
// under way to the disk, and calls that take part in the transaction which it commits. It cannot overtake
// those, but nothing needs to be added to them: whoever does work that can wait for some milliseconds asks
// here before each piece of it.
//
// Nobody waits for those that come after him, nor for one that takes long: so nobody starves, however many
// there are. Any thread may call any function.
class RightOfWay {
 public:
  using Clock = std::chrono::steady_clock;

  // The caller has it while this exists, but for no longer than kHeldMax.
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

  // Waits, for no longer than `max`, until those who have it now have it no more. Returns how long that was.
  Clock::duration GiveWay(Clock::duration max) {
    if (holders_ == 0) return {};
    const auto begin = Clock::now();
    std::unique_lock lock(mutex_);
    const uint64_t end = next_;
    while (!since_.empty() && since_.begin()->first < end) {
      const auto deadline = std::min(begin + max, since_.begin()->second + kHeldMax);
      if (Clock::now() >= deadline) break;
      changed_.wait_until(lock, deadline);
    }
    return Clock::now() - begin;
  }

 private:
  uint64_t Take() {
    const std::lock_guard lock(mutex_);
    since_.emplace(next_, Clock::now());
    ++holders_;
    return next_++;
  }

  void Return(uint64_t turn) {
    const std::lock_guard lock(mutex_);
    since_.erase(turn);
    --holders_;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<size_t> holders_{0};  // as many as there are in `since_`
  std::map<uint64_t, Clock::time_point> since_;
  uint64_t next_ = 0;
};

}  // namespace ckptfs
