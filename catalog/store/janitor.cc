#include "catalog/store/janitor.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "backend/base/failpoint.h"
#include "catalog/db/catalog_transaction.h"

namespace ckptfs {
namespace {

constexpr std::chrono::milliseconds kTryAgainAfter{500};
constexpr std::chrono::milliseconds kCollectingTime{200};

}  // namespace

Janitor::Janitor(Backend& backend, Catalog& catalog, const MetaDirectory& meta,
                 SidecarWriter& sidecars, UnsealedStates& unsealed)
    : backend_(backend),
      catalog_(catalog),
      meta_(meta),
      sidecars_(sidecars),
      states_(unsealed),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "ckptfs-janitor");
}

Janitor::~Janitor() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Janitor::Refresh(const VolumeId& volume) {
  const MutexLock lock(mutex_);
  stale_.insert(volume);
  changed_.notify_all();
}

void Janitor::Seal(const VolumeId& volume) {
  const MutexLock lock(mutex_);
  unsealed_.insert(volume);
  changed_.notify_all();
}

void Janitor::Reap(const VolumeId& volume) {
  const MutexLock lock(mutex_);
  destroyed_.insert(volume);
  changed_.notify_all();
}

void Janitor::ScheduleNextTry() {
  if (!HasToTryAgain()) next_try_ = std::chrono::steady_clock::now() + kTryAgainAfter;
}

void Janitor::RefreshLater() {
  const MutexLock lock(mutex_);
  ScheduleNextTry();
  are_sidecars_late_ = true;
  changed_.notify_all();
}

void Janitor::DestroyLater(const VolumeId& volume) {
  const MutexLock lock(mutex_);
  ScheduleNextTry();
  undestroyed_.insert(volume);
  changed_.notify_all();
}

bool Janitor::IsReaping(const VolumeId& volume) {
  const MutexLock lock(mutex_);
  return destroyed_.contains(volume) || in_hand_.contains(volume) || undestroyed_.contains(volume);
}

void Janitor::Drain() {
  MutexLock lock(mutex_);
  hurry_ = true;
  changed_.notify_all();
  changed_.wait(lock.native(), [this]() REQUIRES(mutex_) { return IsIdle() && !busy_; });
  hurry_ = false;
}

void Janitor::Run() {
  MutexLock lock(mutex_);
  while (true) {
    while (!stop_ && IsIdle()) {
      if (!HasToTryAgain()) {
        changed_.wait(lock.native());
      } else if (changed_.wait_until(lock.native(), next_try_) == std::cv_status::timeout) {
        // They stay in the set meanwhile, for IsReaping.
        const std::set<VolumeId> volumes = undestroyed_;
        const bool are_sidecars_late = std::exchange(are_sidecars_late_, false);
        lock.Unlock();
        std::set<VolumeId> destroyed = TryToDestroy(volumes);
        const bool are_still_late = are_sidecars_late && !sidecars_.WriteLate();
        lock.Lock();
        NoteTried(std::move(destroyed), are_still_late);
      }
    }
    if (IsIdle()) return;  // stop_, and all is done; recovery destroys what is left
    changed_.wait_for(lock.native(), kCollectingTime,
                      [this]() REQUIRES(mutex_) { return stop_ || hurry_; });
    const std::set<VolumeId> stale = std::exchange(stale_, {});
    const std::set<VolumeId> unsealed = std::exchange(unsealed_, {});
    const std::set<VolumeId> destroyed = std::exchange(destroyed_, {});
    in_hand_ = destroyed;
    busy_ = true;
    lock.Unlock();
    if (!stale.empty()) RefreshSidecars(stale);
    SealQuiet(unsealed);
    if (!destroyed.empty()) FinishDestroyed(destroyed);
    lock.Lock();
    in_hand_.clear();
    busy_ = false;
    changed_.notify_all();
  }
}

std::set<VolumeId> Janitor::TryToDestroy(const std::set<VolumeId>& volumes) const {
  std::set<VolumeId> destroyed;
  for (const VolumeId& volume : volumes) {
    try {
      backend_.Destroy(volume);
      destroyed.insert(volume);
    } catch (const std::exception& error) {
      spdlog::debug("destroy volume {}: {}", volume.str(), error.what());
    }
  }
  return destroyed;
}

void Janitor::NoteTried(std::set<VolumeId> destroyed, bool are_sidecars_late) {
  next_try_ = std::chrono::steady_clock::now() + kTryAgainAfter;
  are_sidecars_late_ |= are_sidecars_late;
  for (const VolumeId& volume : destroyed) undestroyed_.erase(volume);
  destroyed_.merge(destroyed);
}

void Janitor::RefreshSidecars(const std::set<VolumeId>& volumes) {
  try {
    // Comes before sidecars say that their rows exist, and before the store records their transactions: after
    // a power failure, the disk may have only these two.
    Failpoint("flush.begin");
    const uint64_t generation = catalog_.Generation();
    catalog_.Flush();
    Failpoint("flush.before-generation");
    // May run after another transaction has set a later value; that does no harm (StoreContext::Commit).
    meta_.SetGeneration(generation);
    bool are_written = true;
    for (const VolumeId& volume : volumes) are_written &= sidecars_.Refresh(volume);
    if (!are_written) RefreshLater();
    Failpoint("flush.after-sidecars");
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
  }
}

void Janitor::SealQuiet(const std::set<VolumeId>& volumes) const {
  for (const VolumeId& volume : volumes) {
    try {
      if (!states_.Contains(volume)) continue;
      backend_.right_of_way().GiveWay(RightOfWay::kHeldMax);
      backend_.Sync(volume);  // the long part, without the lock of the states
      states_.SealIfQuiet(backend_, volume);
    } catch (const std::exception& error) {
      if (!states_.Contains(volume)) continue;  // destroyed meanwhile
      spdlog::error("make volume {} read-only: {}; the next start repeats it", volume.str(),
                    error.what());
    }
  }
}

void Janitor::FinishDestroyed(const std::set<VolumeId>& volumes) {
  try {
    backend_.right_of_way().GiveWay(RightOfWay::kHeldMax);
    backend_.WaitDestroyed();
    // If power fails here, the volumes are gone for good, but sidecars and tombstones still exist. The next
    // start repeats the destruction, finds nothing to destroy, and gets here again.
    Failpoint("delete.after-durable");
    for (const VolumeId& volume : volumes) meta_.Remove(volume);
    // ... or a tombstone without a sidecar: the same.
    Failpoint("delete.before-tombstone-drop");
    Catalog::Transaction transaction(catalog_);
    for (const VolumeId& volume : volumes) transaction.DropTombstone(volume);
    transaction.CommitUncounted();
  } catch (const std::exception& error) {
    spdlog::warn("finish the deletion of {} volumes: {}; the next start repeats it", volumes.size(),
                 error.what());
  }
}

}  // namespace ckptfs
