// A request that is answered later, by a thread other than the one that has read it.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <utility>

#include "backend/base/mutex.h"
#include "fs/files/file_tree.h"
#include "fs/fuse/ring_thread.h"

struct fuse_req;

namespace ckptfs {

struct FuseHandlers;

// The kernel does not let a process die before its request is answered. So a request whose requester has been
// killed (KilledAskers) is answered early:
// - If no thread has begun with it, it is not done at all.
// - An operation (RunClass::kVerb) is only answered early: it may have changed things already, and is
//   completed. Its thread finds what it needs of the request here, because libfuse reuses an answered
//   request.
// - Any other request that has begun ends by itself where it waits (AskerLife).
//
// Shared by the thread that works on it and KilledAskers. Thread-safe.
class PendingRequest {
 public:
  enum class Kind : uint8_t { kVerb, kOther };

  PendingRequest(Kind kind, fuse_req* request, FuseHandlers& handlers, const Caller& caller,
                 std::shared_ptr<RingThread> ring)
      : kind_(kind),
        request_(request),
        handlers_(handlers),
        caller_(caller),
        ring_(std::move(ring)) {}
  ~PendingRequest() = default;
  PendingRequest(const PendingRequest&) = delete;
  PendingRequest& operator=(const PendingRequest&) = delete;

  fuse_req* request() const noexcept { return request_; }
  FuseHandlers& handlers() const noexcept { return handlers_; }
  const Caller& caller() const noexcept { return caller_; }
  const std::shared_ptr<RingThread>& ring() const noexcept { return ring_; }
  const std::atomic<bool>& killed() const noexcept { return killed_; }

  // False if it must not be done any more.
  bool Begin() {
    const MutexLock lock(mutex_);
    begun_ = true;
    return !answered_;
  }

  // Calls `use` if the request still exists. The requester, which waits for the answer, exists until `use`
  // returns.
  template <typename Use>
  bool Touch(const Use& use) {
    const MutexLock lock(mutex_);
    if (answered_) return false;
    use();
    return true;
  }

  // Answers by `send`, which returns what libfuse's fuse_reply functions return; so does this.
  template <typename Send>
  int Answer(const Send& send) {
    const MutexLock lock(mutex_);
    if (answered_.exchange(true)) return -ENOENT;
    return send();
  }

  // The requester has been killed. Answers by `send` if that is allowed now.
  template <typename Send>
  void Kill(const Send& send) {
    killed_ = true;
    const MutexLock lock(mutex_);
    if (answered_ || (begun_ && kind_ != Kind::kVerb)) return;
    answered_ = true;
    send();
  }

  // Takes no lock: an answer is sent with the lock held, and may wait for the thread that reads requests.
  bool is_answered() const noexcept { return answered_; }

 private:
  const Kind kind_;
  fuse_req* const request_;
  FuseHandlers& handlers_;
  const Caller caller_;
  const std::shared_ptr<RingThread> ring_;  // the ring that it came by; null: none
  std::atomic<bool> killed_{false};
  Mutex mutex_;  // held while `request_` is used; guards the members below
  bool begun_ GUARDED_BY(mutex_) = false;
  std::atomic<bool> answered_{false};  // set with the lock held
};

}  // namespace ckptfs
