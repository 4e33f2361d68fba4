// Requests whose askers have been killed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>

#include "backend/base/periodic_timer.h"
#include "fs/fuse/pending_request.h"

namespace ckptfs {

// Several times a second, as long as there are requests that wait for longer than a moment, looks whether
// SIGKILL waits for those who have sent them, and sees to it that they are answered (PendingRequest). The kernel's own
// word for that, an interrupt, does not tell one signal from another, and of requests that come by a ring libfuse
// (3.18) drops it. Who is in a PID namespace that the daemon does not see waits for his answer.
//
// Any thread may call Watch.
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

  std::mutex mutex_;
  std::deque<Watched> watched_;  // in the order of their times
  PeriodicTimer watcher_{std::chrono::milliseconds(100), [this] { return Look(); }};  // last
};

}  // namespace ckptfs
