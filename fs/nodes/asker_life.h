// Whether there is still somebody to do it for.
#pragma once

#include <atomic>
#include <utility>

namespace ckptfs {

// Of the request that the calling thread works on: what may wait for long looks here, now and then. False on a
// thread that works for nobody in particular.
class AskerLife {
 public:
  static bool IsKilled() noexcept { return killed_ != nullptr && *killed_; }

  // While it exists the calling thread works for whoever that flag is of.
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
