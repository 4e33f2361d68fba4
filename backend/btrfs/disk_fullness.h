// When the disk below an image was full.
#pragma once

#include <chrono>
#include <cstdint>

#include "backend/base/mutex.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {

// Takes notes, for whoever asks later why something went wrong. "Full" means that writes may have failed: next
// to nothing is free. Thread-safe.
class DiskFullness {
 public:
  using Clock = std::chrono::steady_clock;

  // `has_stopped`: the filesystem in the image takes no changes any more. What is noted after that does not
  // count: it did not cause it.
  void Note(const DiskSpace& disk, bool has_stopped, Clock::time_point now = Clock::now());

  // How many times it has run full.
  uint64_t times() const;
  // Since when it has been full without a break; Clock::time_point::max() if it is not.
  Clock::time_point since() const;
  // Whether it was full when the filesystem stopped, or shortly before.
  bool has_stopped_filesystem() const;

 private:
  mutable Mutex mutex_;
  uint64_t times_ GUARDED_BY(mutex_) = 0;
  Clock::time_point since_ GUARDED_BY(mutex_) = Clock::time_point::max();
  Clock::time_point last_ GUARDED_BY(mutex_) = Clock::time_point::min();
  bool has_stopped_ GUARDED_BY(mutex_) = false;
  bool caused_stop_ GUARDED_BY(mutex_) = false;
};

}  // namespace ckptfs
