#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/pending_reads.h"

#include <fuse_lowlevel.h>

#include <utility>

#include "fs/fuse_answer.h"

namespace ckptfs {

void PendingReads::Read(fuse_req* request, const std::shared_ptr<ControlSession>& session,
                        size_t max_bytes) {
  {
    const std::lock_guard lock(mutex_);
    waiting_[request] = {.session = session, .ring = RingThread::Current()};
  }
  session->Read(max_bytes, [this, request](const std::string& data) { Finish(request, data); });
  // While it is among those that wait, nobody has answered it, and it can be touched.
  const std::lock_guard lock(mutex_);
  if (waiting_.contains(request)) fuse_req_interrupt_func(request, OnInterrupt, this);
}

void PendingReads::Finish(fuse_req* request, const std::string& data) {
  std::shared_ptr<RingThread> ring;
  {
    const std::lock_guard lock(mutex_);
    const auto waiting = waiting_.find(request);
    ring = std::move(waiting->second.ring);
    waiting_.erase(waiting);
  }
  const AnswersFor answers(std::move(ring));
  ReplyBuffer(request, data.data(), data.size());
}

// The request may have been answered meanwhile, and its memory may be another one's: that one's
// reader then gets an empty line too many, which it skips.
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
      const std::lock_guard lock(mutex_);
      const auto waiting = waiting_.find(request);
      if (waiting != waiting_.end()) session = waiting->second.session.lock();
    }
    if (session) session->Interrupt();
  });
}

}  // namespace ckptfs
