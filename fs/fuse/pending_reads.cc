#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse/pending_reads.h"

#include <fuse_lowlevel.h>

#include <map>
#include <set>
#include <utility>

#include "fs/fuse/fuse_request.h"
#include "fs/processes/process_search.h"

namespace ckptfs {

void PendingReads::Read(fuse_req* request, const std::shared_ptr<ControlSession>& session,
                        size_t max_bytes) {
  std::shared_ptr<RingThread> ring = RingThread::Current();
  const bool by_ring = ring != nullptr;
  {
    const MutexLock lock(mutex_);
    waiting_[request] = {
        .session = session, .ring = std::move(ring), .thread = fuse_req_ctx(request)->pid};
  }
  session->Read(max_bytes, [this, request](const std::string& data) { Finish(request, data); });
  // While it is in the list it has not been answered and can be used.
  const MutexLock lock(mutex_);
  if (!waiting_.contains(request)) return;
  if (by_ring) return watcher_.Wake();
  fuse_req_interrupt_func(request, OnInterrupt, this);
}

// Holds no lock during the checks. Requests answered meanwhile are treated as in OnInterrupt.
bool PendingReads::LookForInterrupted() {
  std::map<pid_t, fuse_req*> by_thread;
  std::set<pid_t> threads;
  {
    const MutexLock lock(mutex_);
    for (const auto& [request, waiting] : waiting_) {
      if (!waiting.ring || waiting.thread == 0) continue;
      by_thread.emplace(waiting.thread, request);
      threads.insert(waiting.thread);
    }
  }
  if (threads.empty()) return false;
  for (const pid_t thread : InterruptedThreads(threads, Signals::kAny)) {
    Interrupt(by_thread.at(thread));
  }
  return true;
}

void PendingReads::Finish(fuse_req* request, const std::string& data) {
  std::shared_ptr<RingThread> ring;
  {
    const MutexLock lock(mutex_);
    const auto waiting = waiting_.find(request);
    ring = std::move(waiting->second.ring);
    waiting_.erase(waiting);
  }
  const AnswersFor answers(std::move(ring));
  ReplyBuffer(request, data.data(), data.size());
}

// The request may have been answered meanwhile and its memory reused by another: then that one's reader gets
// a surplus empty line, which it skips.
void PendingReads::OnInterrupt(fuse_req* request, void* self) noexcept {
  try {
    static_cast<PendingReads*>(self)->Interrupt(request);
  } catch (...) {
    ErrnoOfException("interrupt");
  }
}

void PendingReads::Interrupt(fuse_req* request) {
  interrupter_.Post([this, request] {
    std::shared_ptr<ControlSession> session;
    {
      const MutexLock lock(mutex_);
      const auto waiting = waiting_.find(request);
      if (waiting != waiting_.end()) session = waiting->second.session.lock();
    }
    if (session) session->Interrupt();
  });
}

}  // namespace ckptfs
