// A thread that tidies up for as long as there is something to tidy.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace ckptfs {

// Calls `work` every `interval` until it returns false, and then not before the next Wake. So request
// handlers leave to it what need not be done at once, at the price of one atomic read. `work` must
// not throw; it is called by the thread of this object only. Any thread may call Wake.
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
    const std::lock_guard lock(mutex_);
    awake_ = true;
    changed_.notify_all();
  }

 private:
  void Run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [this] { return awake_.load(); })) return;
      changed_.wait_for(lock, stop, interval_, [] { return false; });
      if (stop.stop_requested()) return;
      // Before the work: what is added while it goes on wakes this anew.
      awake_ = false;
      lock.unlock();
      if (work_()) Wake();
    }
  }

  const std::chrono::milliseconds interval_;
  const std::function<bool()> work_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::atomic<bool> awake_{false};
  std::jthread thread_;  // last: starts when all else is there, ends first
};

}  // namespace ckptfs
