// Gives back what destroyed volumes of dm-thin have in the pool.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "backend/base/uuid.h"
#include "backend/dm/thin_pool.h"

namespace ckptfs {

// A destroyed volume is a file <uuid>.destroyed in the volumes' directory. When nothing uses its device any
// more, all of that is discarded, which gives its space back to the disk below, the device is removed, and
// then the file: if power goes in between, the next mount does it again. What fails is said once, and tried
// again every few seconds.
//
// One thread. Any thread may call any function.
class ThinReclaimer {
 public:
  // Begins with those that are there. `device_prefix` is that of the store's devices; the directory's
  // descriptor is borrowed, and the pool outlives this.
  ThinReclaimer(ThinPool& pool, int volumes_fd, std::string device_prefix);
  // Leaves to the next mount what is left.
  ~ThinReclaimer();
  ThinReclaimer(const ThinReclaimer&) = delete;
  ThinReclaimer& operator=(const ThinReclaimer&) = delete;

  void Add(const VolumeId& id);
  // How many there are still.
  size_t Pending() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Destroyed {
    VolumeId id;
    Clock::time_point next_try;
    bool failed = false;  // and that was said
  };

  void Run(const std::stop_token& stop);
  // Whether it is done; otherwise it says there when to try again.
  bool Try(Destroyed& volume);
  bool Reclaim(const VolumeId& id);

  ThinPool& pool_;
  const int volumes_fd_;
  const std::string device_prefix_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::list<Destroyed> volumes_;  // what is in there stays where it is; only the thread removes
  std::jthread thread_;           // last: starts when all else is there, ends first
};

}  // namespace ckptfs
