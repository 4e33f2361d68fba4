// Work that others are to be served before.
#pragma once

namespace ckptfs {

// The calling thread has a low priority while this exists, and after it if the daemon may not raise it again:
// for threads that end soon after. Not to be used where a lock is held, or taken for long, that others wait for.
class LowPriority {
 public:
  LowPriority() noexcept;
  ~LowPriority();
  LowPriority(const LowPriority&) = delete;
  LowPriority& operator=(const LowPriority&) = delete;

 private:
  int before_;
};

}  // namespace ckptfs
