// Who may change what of a store at the same time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <set>
#include <vector>

namespace ckptfs {

// One lock for each workspace, its snapshots included. An operation holds those of all workspaces that it
// reads or changes the state of, for as long as it takes: one that waits (for writers, for much data to reach
// the disk) keeps nobody of another workspace waiting. Fsck and the like hold the whole store.
//
// Whoever comes first is served first, with each lock: nobody starves, and as all locks of an operation are
// taken in one step there is no order in which to take them. An operation takes locks once, and calls nothing
// meanwhile that takes any. Any thread may call any function.
class OperationLocks {
 public:
  // Held while it exists.
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

  // Returns when all are to be had. Of none: what concerns the store, and no workspace that is there yet.
  Hold Lock(const std::vector<int64_t>& workspaces);
  Hold LockAll();

 private:
  using Requests = std::list<Hold::Request>;

  Hold Wait(Hold::Request request);
  static bool Conflict(const Hold::Request& one, const Hold::Request& other);
  bool IsFirst(Requests::const_iterator request) const;

  std::mutex mutex_;
  std::condition_variable changed_;
  // In the order in which they came: those that hold, and those that wait for one before them.
  Requests requests_;
};

}  // namespace ckptfs
