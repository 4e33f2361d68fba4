// Low priority for background work.
#pragma once

namespace ckptfs {

// While it exists, the calling thread has a low priority; also afterwards, if the daemon may not raise it
// again. So it is for threads that end soon after. Do not use it while holding, or for long taking, a lock
// that others wait for.
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
