// Requests whose requesters have been killed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <deque>
#include <memory>

#include "backend/base/mutex.h"
#include "backend/base/periodic_timer.h"
#include "fs/fuse/pending_request.h"

namespace ckptfs {

// While requests have waited for more than a moment, checks several times a second whether SIGKILL is pending
// for their requesters, and has such requests answered (PendingRequest). The kernel's INTERRUPT does not tell
// one signal from another, and libfuse (3.18) drops it for requests that came by a ring. A requester in a PID
// namespace that the daemon does not see waits for the regular answer.
//
// Watch is thread-safe.
class KilledAskers {
 public:
  void Watch(const std::shared_ptr<PendingRequest>& pending);

 private:
  using Clock = std::chrono::steady_clock;
  struct Watched {
    std::weak_ptr<PendingRequest> pending;
    Clock::time_point since;
  };

  bool Look();
  std::deque<std::shared_ptr<PendingRequest>> Waiting();

  Mutex mutex_;
  std::deque<Watched> watched_ GUARDED_BY(mutex_);  // in the order of their times
  PeriodicTimer watcher_{std::chrono::milliseconds(100), [this] { return Look(); }};  // last
};

}  // namespace ckptfs
