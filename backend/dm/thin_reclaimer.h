// Frees the space of destroyed dm-thin volumes in the pool.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <string>
#include <thread>

#include "backend/base/mutex.h"
#include "backend/base/uuid.h"
#include "backend/dm/thin_pool.h"

namespace ckptfs {

// A destroyed volume is a file <uuid>.destroyed in the volumes' directory. When its device is no longer used,
// all of it is discarded, which frees the space on the disk below; then the device is removed, and then the
// file. If power fails in between, the next mount does it again. Failures are logged once, and retried every
// few seconds.
//
// One thread. Thread-safe.
class ThinReclaimer {
 public:
  // Starts with the existing ones. `device_prefix` is that of the store's devices; the directory's descriptor
  // is borrowed, and the pool must outlive this object.
  ThinReclaimer(ThinPool& pool, int volumes_fd, std::string device_prefix);
  // Leaves the rest to the next mount.
  ~ThinReclaimer();
  ThinReclaimer(const ThinReclaimer&) = delete;
  ThinReclaimer& operator=(const ThinReclaimer&) = delete;

  void Add(const VolumeId& id);
  // How many remain.
  size_t Pending() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Destroyed {
    VolumeId id;
    Clock::time_point next_try;
    bool failed = false;  // and logged
  };

  void Run(const std::stop_token& stop);
  // Whether it is done; otherwise sets in `volume` when to retry.
  bool Try(Destroyed& volume);
  bool Reclaim(const VolumeId& id);

  ThinPool& pool_;
  const int volumes_fd_;
  const std::string device_prefix_;
  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  std::list<Destroyed> volumes_ GUARDED_BY(mutex_);  // nodes do not move; only the thread removes
  std::jthread thread_;  // last: started after and joined before all other members
};

}  // namespace ckptfs
