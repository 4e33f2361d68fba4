// What the adapter knows about a request, and how every reply reaches the kernel.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)
#endif

#include <fuse_lowlevel.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "fs/fuse/fuse_operations.h"
#include "fs/fuse/pending_request.h"
#include "fs/fuse/ring_thread.h"
#include "fs/operations/asker.h"

namespace ckptfs {

FuseHandlers& HandlersOf(fuse_req_t request);
Caller CallerOf(fuse_req_t request);
// The supplementary groups of the requesting thread, if it still exists.
std::vector<gid_t> GroupsOf(fuse_req_t request);
InGroup InGroupsOf(fuse_req_t request);
// Use only before the request is answered.
Asker AskerOf(fuse_req_t request);

// While it exists, the calling thread answers requests of that ring (null: of none), or that one request.
class AnswersFor {
 public:
  explicit AnswersFor(std::shared_ptr<RingThread> ring)
      : before_(std::exchange(ring_, std::move(ring))),
        pending_before_(std::exchange(pending_, nullptr)) {}
  explicit AnswersFor(PendingRequest& pending)
      : before_(std::exchange(ring_, pending.ring())),
        pending_before_(std::exchange(pending_, &pending)) {}
  ~AnswersFor() {
    ring_ = std::move(before_);
    pending_ = pending_before_;
  }
  AnswersFor(const AnswersFor&) = delete;
  AnswersFor& operator=(const AnswersFor&) = delete;

  static RingThread* ring() noexcept { return ring_.get(); }
  // Null: whatever this thread answers exists until it is answered.
  static PendingRequest* pending() noexcept { return pending_; }
  // Null unless it is for that request.
  static PendingRequest* Pending(fuse_req_t request) noexcept {
    return pending_ != nullptr && pending_->request() == request ? pending_ : nullptr;
  }
  // The ring of the current request, for another thread that will answer it; null: it did not come by a ring.
  static std::shared_ptr<RingThread> RingAtHand() { return ring_ ? ring_ : RingThread::Current(); }

 private:
  static inline thread_local std::shared_ptr<RingThread> ring_;
  static inline thread_local PendingRequest* pending_ = nullptr;
  std::shared_ptr<RingThread> before_;
  PendingRequest* const pending_before_;
};

// Every answer goes through this. Calls `send`, one of libfuse's fuse_reply functions, on the thread that may
// do so, and returns its result; -ENOENT if the request has already been answered (PendingRequest).
template <typename Send>
int Reply(const Send& send) {
  const auto deliver = [&send] {
    if (AnswersFor::ring() == nullptr) return send();
    int result = -ENOTCONN;
    AnswersFor::ring()->Run([&] { result = send(); });
    return result;
  };
  PendingRequest* const pending = AnswersFor::pending();
  return pending != nullptr ? pending->Answer(deliver) : deliver();
}
int ReplyError(fuse_req_t request, int error_number);
int ReplyBuffer(fuse_req_t request, const char* data, size_t size);

// The errno of the exception being handled, which is logged.
int ErrnoOfException(const char* operation) noexcept;

}  // namespace ckptfs
