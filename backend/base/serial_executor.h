// A thread that runs tasks one at a time.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <thread>

#include "backend/base/mutex.h"

namespace ckptfs {

// Runs tasks in the order of posting. For work that would block a request handler, which could be the very
// thread that others need. (Verbs have VerbQueue.) Any thread may post. The destructor runs the remaining
// tasks. A task must not throw.
class SerialExecutor {
 public:
  SerialExecutor() : thread_([this] { Run(); }) {}
  ~SerialExecutor() {
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  SerialExecutor(const SerialExecutor&) = delete;
  SerialExecutor& operator=(const SerialExecutor&) = delete;

  void Post(std::function<void()> task) {
    const MutexLock lock(mutex_);
    tasks_.push_back(std::move(task));
    changed_.notify_all();
  }

 private:
  void Run() {
    MutexLock lock(mutex_);
    while (true) {
      changed_.wait(lock.native(),
                    [this]() REQUIRES(mutex_) { return stopping_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.Unlock();
      task();
      lock.Lock();
    }
  }

  Mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: started after all other members
};

}  // namespace ckptfs
