// Lets one operation hold all others for a moment.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "backend/base/error.h"
#include "fs/nodes/asker_life.h"
#include "fs/nodes/node_id.h"

namespace ckptfs {

// The freeze lock that the changing operations of one live tree pass. A checkpoint or a rollback closes
// it: operations that come later wait, those inside are waited for. Unlike std::shared_mutex it
// never lets a stream of newcomers starve the one that wants to close it. Any thread may call.
class FreezeLock {
 public:
  // Inside the freeze lock while it exists. Never taken twice by one thread: the second would wait for a
  // closing that waits for the first.
  class Pass {
   public:
    // `locked`: what is going to be changed, or the directory in which, if the kernel holds its lock for
    // who asked; 0: it does not. Throws EINTR if he is killed while this waits.
    Pass(FreezeLock& freeze_lock, NodeId locked) : freeze_lock_(freeze_lock) {
      freeze_lock_.Enter(locked);
    }
    ~Pass() { freeze_lock_.Leave(); }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    FreezeLock& freeze_lock_;
  };

  // What is done before the freeze lock is passed, by whoever keeps others from the file meanwhile (the kernel
  // holds its lock for him): to one that closes the freeze lock he stands at it all that time. For a part of a
  // call that may take long; the pass comes before this ends.
  class Approach {
   public:
    Approach(FreezeLock& freeze_lock, NodeId node) : freeze_lock_(freeze_lock), node_(node) {
      freeze_lock_.Announce(node);
    }
    ~Approach() { freeze_lock_.Withdraw(node_); }
    Approach(const Approach&) = delete;
    Approach& operator=(const Approach&) = delete;

   private:
    FreezeLock& freeze_lock_;
    const NodeId node_;
  };

  // Thrown on a thread with a NoWaiting by a Pass that would wait, and by BeforeLongWork.
  class MustNotWait {};
  class MustNotWork {};

  // Before something that would keep the thread for long. What has been done so far is done again by
  // another one.
  static void BeforeLongWork() {
    if (refuses_long_work_) throw MustNotWork();
  }

  // While it exists its thread begins no long work.
  class NoLongWork {
   public:
    NoLongWork() { refuses_long_work_ = true; }
    ~NoLongWork() { refuses_long_work_ = false; }
    NoLongWork(const NoLongWork&) = delete;
    NoLongWork& operator=(const NoLongWork&) = delete;
  };

  // The same, and it does not wait at any freeze lock.
  class NoWaiting {
   public:
    NoWaiting() { refuses_to_wait_ = true; }
    ~NoWaiting() { refuses_to_wait_ = false; }
    NoWaiting(const NoWaiting&) = delete;
    NoWaiting& operator=(const NoWaiting&) = delete;

   private:
    const NoLongWork no_long_work_;
  };

  // The freeze lock is shut and empty while it exists.
  class Closed {
   public:
    explicit Closed(FreezeLock& freeze_lock) : freeze_lock_(freeze_lock) { freeze_lock_.Close(); }
    ~Closed() { freeze_lock_.Open(); }
    Closed(const Closed&) = delete;
    Closed& operator=(const Closed&) = delete;

   private:
    FreezeLock& freeze_lock_;
  };

  // Whether an operation that has the lock of that node waits for the freeze lock to open, or will pass it before it
  // ends.
  bool Waits(NodeId node) const {
    const std::lock_guard lock(mutex_);
    return std::find(waiting_.begin(), waiting_.end(), node) != waiting_.end();
  }

 private:
  void Enter(NodeId node) {
    std::unique_lock lock(mutex_);
    if (closed_) {
      if (refuses_to_wait_) throw MustNotWait();
      waiting_.push_back(node);
      const bool is_open = AwaitOpen(lock);
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), node));
      if (!is_open) throw Error(EINTR, "wait for a checkpoint or a rollback", "killed");
    }
    ++inside_;
  }

  // False if nobody waits for the caller any more.
  bool AwaitOpen(std::unique_lock<std::mutex>& lock) {
    constexpr std::chrono::milliseconds kPoll{50};
    while (!changed_.wait_for(lock, kPoll, [this] { return !closed_; })) {
      if (AskerLife::IsKilled()) return false;
    }
    return true;
  }

  void Announce(NodeId node) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(node);
  }

  void Withdraw(NodeId node) {
    const std::lock_guard lock(mutex_);
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), node));
  }

  void Leave() {
    const std::lock_guard lock(mutex_);
    if (--inside_ == 0 && closed_) changed_.notify_all();
  }

  void Close() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !closed_; });
    closed_ = true;
    changed_.wait(lock, [this] { return inside_ == 0; });
  }

  void Open() {
    const std::lock_guard lock(mutex_);
    closed_ = false;
    changed_.notify_all();
  }

  static inline thread_local bool refuses_to_wait_ = false;
  static inline thread_local bool refuses_long_work_ = false;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<NodeId> waiting_;
  uint64_t inside_ = 0;
  bool closed_ = false;
};

}  // namespace ckptfs
