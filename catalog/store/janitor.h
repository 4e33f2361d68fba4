// What the store does in the background.
#pragma once

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "backend/interface/backend.h"
#include "catalog/db/catalog.h"
#include "catalog/sidecar/sidecar_writer.h"
#include "catalog/store/unsealed_states.h"

namespace ckptfs {

// One thread for work that nobody has to wait for: the flush of transactions that are not durable
// yet, sidecars that say "prepared" of volumes that have a row by now, kept states that are writable
// yet, and the end of destroyed volumes. Work is collected for a moment, so that a series of
// checkpoints or deletions costs one pass. What is still to do at a crash is found again by recovery.
// Any thread may call any function.
class Janitor {
 public:
  // All must outlive this.
  Janitor(Backend& backend, Catalog& catalog, const MetaDirectory& meta, SidecarWriter& sidecars,
          UnsealedStates& unsealed);
  // Does what is to do first.
  ~Janitor();
  Janitor(const Janitor&) = delete;
  Janitor& operator=(const Janitor&) = delete;

  // Brings the sidecar of that volume up to date, soon.
  void Refresh(const VolumeId& volume);
  // Makes a kept state read-only, soon; one that is in writing is left alone.
  void Seal(const VolumeId& volume);
  // `volume` has been destroyed: when that is durable, its sidecar and its tombstone go.
  void Reap(const VolumeId& volume);
  // Waits until all that was asked before is done.
  void Drain();

 private:
  void Run();
  bool IsIdle() const { return stale_.empty() && unsealed_.empty() && destroyed_.empty(); }
  void RefreshSidecars(const std::set<VolumeId>& volumes);
  void SealQuiet(const std::set<VolumeId>& volumes) const;
  void FinishDestroyed(const std::set<VolumeId>& volumes);

  Backend& backend_;
  Catalog& catalog_;
  const MetaDirectory& meta_;
  SidecarWriter& sidecars_;
  UnsealedStates& states_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<VolumeId> stale_;
  std::set<VolumeId> unsealed_;
  std::set<VolumeId> destroyed_;
  bool busy_ = false;
  bool hurry_ = false;  // somebody waits in Drain
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace ckptfs
