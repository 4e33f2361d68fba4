// Keeps volumes from promising more space than the disk below them has.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/dm/activation.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {

// The files of volumes are sparse, and together may promise more than their disk has. If that fills up, the
// kernel gives up a volume that it cannot write for, and programs get I/O errors. So when space is short, the
// filesystems of writable volumes are limited so that they report "no space left" before that: none may take
// more than its share of the free space, and FreeSpaceFloor remains for what they write apart from files.
//
// Uses one thread, which checks now and then, and often when space is short. Writes that are faster, or other
// users of the disk, can still fill it: VolumeReviver handles that.
class SpaceWatch {
 public:
  using Volumes = std::vector<std::shared_ptr<Activation>>;

  // `room` returns the space that can still be written, `in_use` the active volumes. Before each time that
  // they are limited, `look_after` gets these, and whether there is no space at all. The thread calls all of
  // them.
  SpaceWatch(std::function<DiskSpace()> room, std::function<Volumes()> in_use,
             std::function<void(const Volumes&, bool is_full)> look_after);
  ~SpaceWatch();
  SpaceWatch(const SpaceWatch&) = delete;
  SpaceWatch& operator=(const SpaceWatch&) = delete;

  // Whether less than a fifth of the disk is free, and volumes have been promised more than that.
  // Thread-safe.
  bool is_low() const noexcept { return is_low_; }

 private:
  void Run(const std::stop_token& stop);
  std::chrono::milliseconds Look();

  const std::function<DiskSpace()> room_;
  const std::function<Volumes()> in_use_;
  const std::function<void(const Volumes&, bool is_full)> look_after_;
  std::atomic<bool> is_low_{false};
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: started after and joined before all other members
};

}  // namespace ckptfs
