// Lets one operation exclude all others for a moment.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/mutex.h"
#include "fs/nodes/asker_life.h"
#include "fs/nodes/node_id.h"

namespace ckptfs {

// The lock that changing operations of one live tree pass through. A checkpoint or a rollback closes it:
// later operations wait, and the closer waits for those inside. Unlike with std::shared_mutex, a stream of
// newcomers never starves the closer. Thread-safe.
class FreezeLock {
 public:
  // Inside the freeze lock while it exists. Never taken twice by one thread: the second would wait for a
  // closer that waits for the first.
  class Pass {
   public:
    // `locked`: the node that will be changed, or its directory, if the kernel holds that node's lock for the
    // caller; 0: it does not. Throws EINTR if the caller is killed while this waits.
    Pass(FreezeLock& freeze_lock, NodeId locked) : freeze_lock_(freeze_lock) {
      freeze_lock_.Enter(locked);
    }
    ~Pass() { freeze_lock_.Leave(); }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    FreezeLock& freeze_lock_;
  };

  // Work done before passing the freeze lock by a thread for which the kernel holds the file's lock, so that
  // no other thread can get at the file. To the closer, the thread counts as waiting at the freeze lock all
  // that time. For a part of a call that may take long; the Pass must be taken before this ends.
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

  // Thrown by a Pass that would wait, on a thread with a NoWaiting, and by BeforeLongWork.
  class MustNotWait {};
  class MustNotWork {};

  // Called before work that would occupy the thread for long. Another thread repeats what has been done so
  // far.
  static void BeforeLongWork() {
    if (refuses_long_work_) throw MustNotWork();
  }

  // While it exists, the calling thread starts no long work.
  class NoLongWork {
   public:
    NoLongWork() { refuses_long_work_ = true; }
    ~NoLongWork() { refuses_long_work_ = false; }
    NoLongWork(const NoLongWork&) = delete;
    NoLongWork& operator=(const NoLongWork&) = delete;
  };

  // The same, and the thread does not wait at any freeze lock.
  class NoWaiting {
   public:
    NoWaiting() { refuses_to_wait_ = true; }
    ~NoWaiting() { refuses_to_wait_ = false; }
    NoWaiting(const NoWaiting&) = delete;
    NoWaiting& operator=(const NoWaiting&) = delete;

   private:
    const NoLongWork no_long_work_;
  };

  // While it exists, the freeze lock is closed and nobody is inside.
  class Closed {
   public:
    explicit Closed(FreezeLock& freeze_lock) : freeze_lock_(freeze_lock) { freeze_lock_.Close(); }
    ~Closed() { freeze_lock_.Open(); }
    Closed(const Closed&) = delete;
    Closed& operator=(const Closed&) = delete;

   private:
    FreezeLock& freeze_lock_;
  };

  // Whether an operation that holds that node's lock is waiting for the freeze lock to open, or will pass the
  // freeze lock before it ends.
  bool Waits(NodeId node) const {
    const MutexLock lock(mutex_);
    return std::find(waiting_.begin(), waiting_.end(), node) != waiting_.end();
  }

 private:
  void Enter(NodeId node) {
    MutexLock lock(mutex_);
    if (closed_) {
      if (refuses_to_wait_) throw MustNotWait();
      waiting_.push_back(node);
      const bool is_open = AwaitOpen(lock);
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), node));
      if (!is_open) throw Error(EINTR, "wait for a checkpoint or a rollback", "killed");
    }
    ++inside_;
  }

  // False if the requester no longer waits.
  bool AwaitOpen(MutexLock& lock) REQUIRES(mutex_) {
    constexpr std::chrono::milliseconds kPoll{50};
    const auto is_open = [this]() REQUIRES(mutex_) { return !closed_; };
    while (!changed_.wait_for(lock.native(), kPoll, is_open)) {
      if (AskerLife::IsKilled()) return false;
    }
    return true;
  }

  void Announce(NodeId node) {
    const MutexLock lock(mutex_);
    waiting_.push_back(node);
  }

  void Withdraw(NodeId node) {
    const MutexLock lock(mutex_);
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), node));
  }

  void Leave() {
    const MutexLock lock(mutex_);
    if (--inside_ == 0 && closed_) changed_.notify_all();
  }

  void Close() {
    MutexLock lock(mutex_);
    changed_.wait(lock.native(), [this]() REQUIRES(mutex_) { return !closed_; });
    closed_ = true;
    changed_.wait(lock.native(), [this]() REQUIRES(mutex_) { return inside_ == 0; });
  }

  void Open() {
    const MutexLock lock(mutex_);
    closed_ = false;
    changed_.notify_all();
  }

  static inline thread_local bool refuses_to_wait_ = false;
  static inline thread_local bool refuses_long_work_ = false;

  mutable Mutex mutex_;
  std::condition_variable changed_;
  std::vector<NodeId> waiting_ GUARDED_BY(mutex_);
  uint64_t inside_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace ckptfs
