// States that rollbacks kept whose volumes are still writable.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <map>

#include "backend/base/mutex.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// The volume of a kept state was the live tree a moment ago. Making it read-only ("sealing") costs a commit,
// which nobody has to wait for. If a rollback left files open, their programs may go on writing to it for as
// long as they like. From a rollback's commit until it is sealed, a state is listed here, as
//   quiet      nobody can write to it: the janitor seals it soon, or an operation that needs it read-only
//              does so first;
//   in writing it is left alone until WritersGone.
// On disk, both are a snapshot with a writable volume. After a power failure recovery seals it: no process
// can still have it open.
// This is the one place that knows which states are in writing; fs/open/writer_watch.h finds out when it ends.
// Owned by the store's context. Thread-safe. Sealing a volume may take long, as all dirty data is written
// first: only operations on that same volume wait for it.
class UnsealedStates {
 public:
  void Add(const VolumeId& volume, bool in_writing);
  void WritersGone(const VolumeId& volume);
  bool IsInWriting(const VolumeId& volume) const;
  bool Contains(const VolumeId& volume) const;

  // On return, a listed state that is quiet is read-only. Does nothing to one that is in writing, or not
  // listed.
  void SealIfQuiet(Backend& backend, const VolumeId& volume);
  // The volume is about to be destroyed. Waits while it is being sealed.
  void Drop(const VolumeId& volume);
  // Called at the end of a mount, when nobody can reach the files any more.
  void SealAll(Backend& backend) noexcept;

 private:
  struct State {
    bool in_writing = false;
    bool being_sealed = false;
  };

  // Waits while that volume is being sealed.
  void AwaitSealed(MutexLock& lock, const VolumeId& volume) REQUIRES(mutex_);
  void CountInWriting() REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::condition_variable sealed_;
  std::map<VolumeId, State> states_ GUARDED_BY(mutex_);
  std::atomic<size_t> in_writing_{0};  // as many as there are in `states_`
};

}  // namespace ckptfs
