// Whether the requester of the current work still exists.
#pragma once

#include <atomic>
#include <utility>

namespace ckptfs {

// For the request that the calling thread works on. Code that may wait for long checks it now and then. False
// on a thread that works for no request.
class AskerLife {
 public:
  static bool IsKilled() noexcept { return killed_ != nullptr && *killed_; }

  // While it exists, the calling thread works for the requester that this flag belongs to.
  class Scope {
   public:
    explicit Scope(const std::atomic<bool>& killed) : before_(std::exchange(killed_, &killed)) {}
    ~Scope() { killed_ = before_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const std::atomic<bool>* before_;
  };

 private:
  static inline thread_local const std::atomic<bool>* killed_ = nullptr;
};

}  // namespace ckptfs
