// A thread that runs periodically while there is work.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <thread>
#include <utility>

#include "backend/base/mutex.h"

namespace ckptfs {

// Calls `work` every `interval` until it returns false, and then not before the next Wake. Request handlers
// use it to defer work, at the cost of one atomic read. `work` must not throw; only this object's thread
// calls it. Wake is thread-safe.
class PeriodicTimer {
 public:
  PeriodicTimer(std::chrono::milliseconds interval, std::function<bool()> work)
      : interval_(interval),
        work_(std::move(work)),
        thread_([this](const std::stop_token& stop) { Run(stop); }) {}
  ~PeriodicTimer() {
    thread_.request_stop();
    thread_.join();
  }
  PeriodicTimer(const PeriodicTimer&) = delete;
  PeriodicTimer& operator=(const PeriodicTimer&) = delete;

  // There is something to do.
  void Wake() {
    if (awake_.load()) return;
    const MutexLock lock(mutex_);
    awake_ = true;
    changed_.notify_all();
  }

 private:
  void Run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      MutexLock lock(mutex_);
      if (!changed_.wait(lock.native(), stop, [this] { return awake_.load(); })) return;
      changed_.wait_for(lock.native(), stop, interval_, [] { return false; });
      if (stop.stop_requested()) return;
      // Before the work: anything added during it wakes this again.
      awake_ = false;
      lock.Unlock();
      if (work_()) Wake();
    }
  }

  const std::chrono::milliseconds interval_;
  const std::function<bool()> work_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::atomic<bool> awake_{false};
  std::jthread thread_;  // last: started after and joined before all other members
};

}  // namespace ckptfs
