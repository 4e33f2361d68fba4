// Which changes to a store may run concurrently.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <set>
#include <vector>

#include "backend/base/mutex.h"

namespace ckptfs {

// One lock per workspace, including its snapshots. An operation holds those of all workspaces whose state it
// reads or changes, until it ends: while it waits (for writers, or for much data to reach the disk) it blocks
// no other workspace. Fsck and the like lock the whole store.
//
// Each lock is granted in order of request, so nobody starves. An operation takes all its locks in one step,
// so there is no lock order to observe. It takes locks once, and meanwhile calls nothing that takes any.
// Thread-safe.
class OperationLocks {
 public:
  // Holds the locks while it exists.
  class Hold {
   public:
    ~Hold();
    Hold(Hold&& other) noexcept;
    Hold& operator=(Hold&&) = delete;
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    friend class OperationLocks;
    struct Request {
      bool whole = false;
      std::set<int64_t> workspaces;
    };
    Hold(OperationLocks& locks, std::list<Request>::iterator request)
        : locks_(&locks), request_(request) {}

    OperationLocks* locks_;  // null: moved from
    std::list<Request>::iterator request_;
  };

  // Waits until all are available. Without workspaces: for operations on the store, or on none that exists
  // yet.
  Hold Lock(const std::vector<int64_t>& workspaces);
  Hold LockAll();

 private:
  using Requests = std::list<Hold::Request>;

  Hold Wait(Hold::Request request);
  static bool Conflict(const Hold::Request& one, const Hold::Request& other);
  bool IsFirst(Requests::const_iterator request) const REQUIRES(mutex_);

  Mutex mutex_;
  std::condition_variable changed_;
  // In order of request: holders, and those that wait for an earlier one.
  Requests requests_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
