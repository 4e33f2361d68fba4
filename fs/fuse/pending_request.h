// A request that is answered later, by another thread than the one that has read it.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "fs/files/file_tree.h"
#include "fs/fuse/ring_thread.h"

struct fuse_req;

namespace ckptfs {

struct FuseHandlers;

// The kernel lets nobody die whose request a filesystem has, until that is answered. So a request whose
// asker has been killed (KilledAskers) is answered early:
// - one that nobody has begun with is not done at all;
// - of a verb only the answer goes early: it may have changed things already, and is done to its end. Its
//   thread has what it needs of the request here, as libfuse gives that to somebody else when it is answered;
// - what else has been begun ends by itself, where it waits (AskerLife).
//
// Shared by the thread that works on it and KilledAskers. Any thread may call any function.
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

  // False if it is not to be done any more.
  bool Begin() {
    const std::lock_guard lock(mutex_);
    begun_ = true;
    return !answered_;
  }

  // Calls `use`, if the request is there still: until it returns, so is whoever waits for the answer.
  template <typename Use>
  bool Touch(const Use& use) {
    const std::lock_guard lock(mutex_);
    if (answered_) return false;
    use();
    return true;
  }

  // By `send`, which returns what libfuse's fuse_reply functions return; so does this.
  template <typename Send>
  int Answer(const Send& send) {
    const std::lock_guard lock(mutex_);
    if (answered_.exchange(true)) return -ENOENT;
    return send();
  }

  // Its asker has been killed. Answers by `send` where that may be done now.
  template <typename Send>
  void Kill(const Send& send) {
    killed_ = true;
    const std::lock_guard lock(mutex_);
    if (answered_ || (begun_ && kind_ != Kind::kVerb)) return;
    answered_ = true;
    send();
  }

  // Never waits: an answer is sent with the lock held, and may wait for the thread that reads requests.
  bool is_answered() const noexcept { return answered_; }

 private:
  const Kind kind_;
  fuse_req* const request_;
  FuseHandlers& handlers_;
  const Caller caller_;
  const std::shared_ptr<RingThread> ring_;  // that it came by; null: none
  std::atomic<bool> killed_{false};
  std::mutex mutex_;  // held while `request_` is used; guards what follows
  bool begun_ = false;
  std::atomic<bool> answered_{false};  // set with the lock held
};

}  // namespace ckptfs
