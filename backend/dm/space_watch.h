// Keeps volumes from promising more than the disk below them has.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "backend/dm/activation.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {

// A volume's file is sparse, and all of them together may promise more than their disk has. When that is
// full the kernel gives up the volume that it cannot write for, and its programs get I/O errors. So while
// there is little left, the filesystems of volumes that are being written to are made to say "no space
// left" before: none may take more than its share of what is free, and FreeSpaceFloor stays for what they
// write besides files.
//
// One thread, which looks now and then, and often when there is little. What is written faster than it
// looks can still fill the disk, as can others: VolumeReviver is for these.
class SpaceWatch {
 public:
  using Volumes = std::vector<std::shared_ptr<Activation>>;

  // `room` tells what can still be written, `in_use` gives the volumes that are in use; `look_after` is
  // given these, and whether there is no room at all, each time before they are limited. All are called
  // by the thread.
  SpaceWatch(std::function<DiskSpace()> room, std::function<Volumes()> in_use,
             std::function<void(const Volumes&, bool is_full)> look_after);
  ~SpaceWatch();
  SpaceWatch(const SpaceWatch&) = delete;
  SpaceWatch& operator=(const SpaceWatch&) = delete;

  // Whether less than a fifth of the disk is left, and volumes have been promised more than that. By any
  // thread.
  bool is_low() const noexcept { return is_low_; }

 private:
  void Run(const std::stop_token& stop);
  std::chrono::milliseconds Look();

  const std::function<DiskSpace()> room_;
  const std::function<Volumes()> in_use_;
  const std::function<void(const Volumes&, bool is_full)> look_after_;
  std::atomic<bool> is_low_{false};
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: starts when all else is there, ends first
};

}  // namespace ckptfs
