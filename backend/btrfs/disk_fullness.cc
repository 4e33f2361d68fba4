#include "backend/btrfs/disk_fullness.h"

namespace ckptfs {
namespace {

// Of the space that is kept free, less than one part in so many is left. Who writes can use up that space only
// when it is not watched in time.
constexpr uint64_t kFullDivisor = 4;
// btrfs finds out half a minute later that it cannot write.
constexpr std::chrono::minutes kShortly{1};

}  // namespace

void DiskFullness::Note(const DiskSpace& disk, bool has_stopped, Clock::time_point now) {
  const MutexLock lock(mutex_);
  if (has_stopped_) return;
  const bool is_full = disk.total != 0 && disk.free < FreeSpaceFloor(disk.total) / kFullDivisor;
  if (is_full) {
    if (since_ == Clock::time_point::max()) {
      since_ = now;
      ++times_;
    }
    last_ = now;
  } else {
    since_ = Clock::time_point::max();
  }
  has_stopped_ = has_stopped;
  caused_stop_ = has_stopped && times_ > 0 && now - last_ <= kShortly;
}

uint64_t DiskFullness::times() const {
  const MutexLock lock(mutex_);
  return times_;
}

DiskFullness::Clock::time_point DiskFullness::since() const {
  const MutexLock lock(mutex_);
  return since_;
}

bool DiskFullness::has_stopped_filesystem() const {
  const MutexLock lock(mutex_);
  return caused_stop_;
}

}  // namespace ckptfs
