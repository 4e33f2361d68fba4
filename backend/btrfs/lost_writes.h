// Whether data that programs wrote never got to the disk.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

#include "backend/base/unique_fd.h"

namespace ckptfs {

// A write that has returned is in the kernel's memory; if it later fails, only a program that asks (fsync) hears
// of it. The kernel tells each open descriptor once, by syncfs(2), whether that has happened on its filesystem
// since it was opened. This keeps such a descriptor. As syncfs also writes everything out, it is asked only when
// something suggests a loss. Thread-safe.
class LostWrites {
 public:
  // `root_fd`: a directory of the filesystem. Throws Error.
  explicit LostWrites(int root_fd);

  // `suspicion`: a number that grows with each event that may have lost something. Does nothing if it is the
  // same as at the last call with `is_over`, which says that the event has passed; and not more often than every
  // few seconds.
  void Look(uint64_t suspicion, bool is_over) noexcept;
  // Somebody has heard of a loss.
  void Note() noexcept { found_ = true; }
  bool found() const noexcept { return found_; }

 private:
  const UniqueFd fd_;
  std::atomic<bool> found_{false};
  std::mutex mutex_;  // only tried, which Mutex does not offer; guards what follows
  uint64_t settled_ = 0;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace ckptfs
