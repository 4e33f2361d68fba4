// States that rollbacks kept, and whose volumes are still writable.
#pragma once

#include <condition_variable>
#include <map>

#include "backend/base/mutex.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// The volume of a kept state was the live tree a moment ago. Making it read-only ("sealing") costs
// a commit, which nobody has to wait for; and where a rollback left open files to those who had
// them, they go on writing to it for as long as they like. From a rollback's commit until then a
// state is listed here, as
//   quiet      nobody can write to it: the janitor seals it soon, or an operation that needs it
//              read-only does so first;
//   in writing it is left alone until WritersGone.
// On disk it is a snapshot with a writable volume, both times. If power goes, recovery seals it: no
// process of before can have it open then.
//
// Owned by the store's context. Any thread may call any function. To seal a volume may take long, as all that
// is dirty is written first: only who is about to do something with that same volume waits for it.
class UnsealedStates {
 public:
  void Add(const VolumeId& volume, bool in_writing);
  void WritersGone(const VolumeId& volume);
  bool IsInWriting(const VolumeId& volume) const;
  bool Contains(const VolumeId& volume) const;

  // Nobody writes to it and it is read-only on return: nothing happens if it is not listed. One that
  // is in writing is left alone.
  void SealIfQuiet(Backend& backend, const VolumeId& volume);
  // The volume is about to be destroyed. Waits while it is being sealed.
  void Drop(const VolumeId& volume);
  // At the end of a mount, when nobody can reach its files any more.
  void SealAll(Backend& backend) noexcept;

 private:
  struct State {
    bool in_writing = false;
    bool being_sealed = false;
  };

  // Waits for whoever seals that volume.
  void AwaitSealed(MutexLock& lock, const VolumeId& volume) REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::condition_variable sealed_;
  std::map<VolumeId, State> states_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
