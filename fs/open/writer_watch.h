// Finds out when the last program has stopped writing to a state that a rollback replaced.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/interface/backend.h"
#include "fs/nodes/node_id.h"

namespace ckptfs {

// A previous state that the handles open at the rollback still use. It keeps its slot, so that a file that is
// mapped but forgotten by the kernel can still be identified by its node.
struct DetachedState {
  VolumeId volume;
  Slot slot = 0;
  int64_t workspace_id = 0;
  uint64_t view = 0;         // the high part of st_ino, from the snapshot that keeps the state
  uint64_t former_view = 0;  // the workspace's view, which /proc shows until the next stat
};

// Watches the slots of states that programs go on writing to. Which states these are is known by the store
// (Store::IsInWriting); this tells the store when it is over. No node of such a slot is opened for writing any
// more (FileTree::Open), so the writers only become fewer. Released reports the end of a handle. Nothing reports
// the end of a mapping: a poll every second finds it.
//
// Owned by the mount. Thread-safe. A dedicated thread polls, without holding the lock meanwhile.
class WriterWatch {
 public:
  // `has_writers`: whether somebody can still write to files of that slot. `end`: all have gone, and
  // the state is listed here no longer; has the volume sealed and gives the slot back. Both are
  // called without a lock.
  WriterWatch(std::function<bool(Slot)> has_writers, std::function<void(const DetachedState&)> end);
  ~WriterWatch();  // ends nothing: the store seals at its end what is left
  WriterWatch(const WriterWatch&) = delete;
  WriterWatch& operator=(const WriterWatch&) = delete;

  void Add(DetachedState state);
  // The last handle that could write to some file of that slot has been released.
  void Released(Slot slot);
  // Ends every state that has no writers. On return, the store knows.
  void EndQuietOnes();
  // The volume is being destroyed, with the user's consent. Returns the slot to release.
  std::optional<Slot> Drop(const VolumeId& volume);

  // Empty if it is not watched. Waits while it is being ended: from then on the store knows it, too.
  // Costs nothing as long as no state is watched.
  std::optional<DetachedState> Find(const VolumeId& volume) const;

 private:
  void Run(const std::stop_token& stop);
  void End(const VolumeId& volume);
  bool IsEnding(const VolumeId& volume) const REQUIRES(mutex_);
  // The state, which is not listed any more, unless somebody else has taken it.
  std::optional<DetachedState> Take(MutexLock& lock, const VolumeId& volume) REQUIRES(mutex_);

  const std::function<bool(Slot)> has_writers_;
  const std::function<void(const DetachedState&)> end_;
  std::atomic<size_t> count_{0};  // of those below, in both lists
  mutable Mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::vector<DetachedState> states_ GUARDED_BY(mutex_);
  std::vector<VolumeId> ending_ GUARDED_BY(mutex_);  // taken, and `end_` has not returned
  bool look_ GUARDED_BY(mutex_) = false;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace ckptfs
