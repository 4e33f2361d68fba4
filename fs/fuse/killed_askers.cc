#include "fs/fuse/killed_askers.h"

#include <algorithm>
#include <set>
#include <utility>

#include "fs/fuse/fuse_request.h"
#include "fs/processes/process_search.h"

namespace ckptfs {
namespace {

// Most requests are answered sooner and need no check.
constexpr std::chrono::milliseconds kMoment{50};

}  // namespace

void KilledAskers::Watch(const std::shared_ptr<PendingRequest>& pending) {
  if (pending->caller().pid == 0) return;
  {
    const MutexLock lock(mutex_);
    watched_.push_back({pending, Clock::now()});
  }
  watcher_.Wake();
}

// Those that have waited for a moment. Must not block with the lock held: threads that read requests take it.
std::deque<std::shared_ptr<PendingRequest>> KilledAskers::Waiting() {
  std::deque<std::shared_ptr<PendingRequest>> waiting;
  const auto begun_before = Clock::now() - kMoment;
  const MutexLock lock(mutex_);
  std::erase_if(watched_, [](const Watched& watched) {
    const auto pending = watched.pending.lock();
    return !pending || pending->is_answered();
  });
  for (const Watched& watched : watched_) {
    if (watched.since > begun_before) break;
    if (auto pending = watched.pending.lock()) waiting.push_back(std::move(pending));
  }
  return waiting;
}

// Holds no lock during the checks.
bool KilledAskers::Look() {
  const auto waiting = Waiting();
  std::set<pid_t> threads;
  for (const auto& pending : waiting) threads.insert(pending->caller().pid);
  if (!threads.empty()) {
    const std::set<pid_t> killed = InterruptedThreads(threads, Signals::kKill);
    for (const auto& pending : waiting) {
      if (!killed.contains(pending->caller().pid)) continue;
      const AnswersFor answers(pending->ring());
      pending->Kill([&] { ReplyError(pending->request(), EINTR); });
    }
  }
  const MutexLock lock(mutex_);
  return !watched_.empty();
}

}  // namespace ckptfs
