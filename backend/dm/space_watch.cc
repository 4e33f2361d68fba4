#include "backend/dm/space_watch.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "backend/base/error.h"
#include "backend/base/units.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {
namespace {

constexpr std::chrono::milliseconds kSeldom{1000};
constexpr std::chrono::milliseconds kOften{100};
// "Little" free space: this many times the floor.
constexpr uint64_t kLittle = 4;
constexpr uint64_t kLowFraction = 5;

}  // namespace

SpaceWatch::SpaceWatch(std::function<DiskSpace()> room, std::function<Volumes()> in_use,
                       std::function<void(const Volumes&, bool is_full)> look_after)
    : room_(std::move(room)),
      in_use_(std::move(in_use)),
      look_after_(std::move(look_after)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

SpaceWatch::~SpaceWatch() {
  thread_.request_stop();
  thread_.join();
}

void SpaceWatch::Run(const std::stop_token& stop) {
  std::chrono::milliseconds pause = kSeldom;
  MutexLock lock(mutex_);
  while (!stop.stop_requested()) {
    changed_.wait_for(lock.native(), stop, pause, [] { return false; });
    if (stop.stop_requested()) return;
    try {
      pause = Look();
    } catch (const std::exception& error) {
      spdlog::warn("watch the disk of the store: {}", error.what());
      pause = kSeldom;
    }
  }
}

// Returns the time until the next look.
std::chrono::milliseconds SpaceWatch::Look() {
  const DiskSpace disk = room_();
  const Volumes all = in_use_();
  const uint64_t floor = FreeSpaceFloor(disk.total);
  const uint64_t free = disk.free > floor ? disk.free - floor : 0;
  look_after_(all, disk.total != 0 && free == 0);
  if (disk.total == 0) return kSeldom;
  bool limited = false;
  for (const std::shared_ptr<Activation>& activation : all) {
    limited = activation->LimitGrowth(free / all.size()) || limited;
  }
  const bool is_low = limited && free < disk.total / kLowFraction;
  if (is_low && !is_low_) {
    spdlog::warn(
        "the disk of the store has {} MiB left, of which {} MiB are kept free: workspaces can grow "
        "by no more than the rest",
        disk.free / kMiB, floor / kMiB);
  }
  is_low_ = is_low;
  return free < kLittle * floor ? kOften : kSeldom;
}

}  // namespace ckptfs
