// The store's background work.
#pragma once

#include <chrono>
#include <condition_variable>
#include <set>
#include <thread>

#include "backend/base/mutex.h"
#include "backend/interface/backend.h"
#include "catalog/db/catalog.h"
#include "catalog/sidecar/sidecar_writer.h"
#include "catalog/store/unsealed_states.h"

namespace ckptfs {

// One thread for work that nobody has to wait for: flushing transactions that are not durable yet, updating
// sidecars that still say "prepared" although the volume has a row, sealing kept states that are still
// writable, and finishing destroyed volumes. Work is batched for a moment, so that a series of checkpoints or
// deletions costs one pass. After a crash, recovery finds the remaining work. Thread-safe.
class Janitor {
 public:
  // All must outlive this object.
  Janitor(Backend& backend, Catalog& catalog, const MetaDirectory& meta, SidecarWriter& sidecars,
          UnsealedStates& unsealed);
  // Finishes pending work first.
  ~Janitor();
  Janitor(const Janitor&) = delete;
  Janitor& operator=(const Janitor&) = delete;

  // Updates the sidecar of that volume, soon.
  void Refresh(const VolumeId& volume);
  // SidecarWriter::Refresh, or RefreshStore, has failed: has the late ones written as soon as that is possible.
  void RefreshLater();
  // Makes a kept state read-only, soon, unless programs are still writing to it.
  void Seal(const VolumeId& volume);
  // `volume` has been destroyed: removes its sidecar and its tombstone once that is durable.
  void Reap(const VolumeId& volume);
  // `volume` could not be destroyed, e.g. because a comparison reads it, which btrfs refuses (EPERM), or for want
  // of space: tries again until it can be, then as Reap.
  void DestroyLater(const VolumeId& volume);
  // Whether either is still to be done.
  bool IsReaping(const VolumeId& volume);
  // Waits until all work requested before is done; not for DestroyLater, which others may hold up for long.
  void Drain();

 private:
  void Run();
  bool IsIdle() const REQUIRES(mutex_) {
    return stale_.empty() && unsealed_.empty() && destroyed_.empty();
  }
  void RefreshSidecars(const std::set<VolumeId>& volumes);
  void SealQuiet(const std::set<VolumeId>& volumes) const;
  void FinishDestroyed(const std::set<VolumeId>& volumes);
  bool HasToTryAgain() const REQUIRES(mutex_) {
    return !undestroyed_.empty() || are_sidecars_late_;
  }
  void ScheduleNextTry() REQUIRES(mutex_);
  // Returns those that are destroyed now.
  std::set<VolumeId> TryToDestroy(const std::set<VolumeId>& volumes) const;
  void NoteTried(std::set<VolumeId> destroyed, bool are_sidecars_late) REQUIRES(mutex_);

  Backend& backend_;
  Catalog& catalog_;
  const MetaDirectory& meta_;
  SidecarWriter& sidecars_;
  UnsealedStates& states_;

  Mutex mutex_;
  std::condition_variable changed_;
  std::set<VolumeId> stale_ GUARDED_BY(mutex_);
  std::set<VolumeId> unsealed_ GUARDED_BY(mutex_);
  std::set<VolumeId> destroyed_ GUARDED_BY(mutex_);
  std::set<VolumeId> in_hand_ GUARDED_BY(mutex_);  // of those, the ones being finished
  std::set<VolumeId> undestroyed_ GUARDED_BY(mutex_);
  bool are_sidecars_late_ GUARDED_BY(mutex_) = false;
  std::chrono::steady_clock::time_point next_try_ GUARDED_BY(mutex_);  // of both
  bool busy_ GUARDED_BY(mutex_) = false;
  bool hurry_ GUARDED_BY(mutex_) = false;  // some thread waits in Drain
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the members above
};

}  // namespace ckptfs
