// Previous states, kept after a rollback because programs had files in them open for writing.
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

// Tracks the kept states that are still being written to and detects when the last writer has gone. No node
// of such a slot is opened for writing any more (FileTree::Open), so the number of writers only decreases.
// Released reports the end of a handle. Nothing reports the end of a mapping, so a thread polls every second.
//
// Owned by the mount. Thread-safe. The polling thread holds no lock of this class while it looks.
class DetachedStates {
 public:
  // `has_writers`: whether anything can still write to files of that slot. `end`: the last writer has gone
  // and the state is no longer listed here; seals the volume and releases the slot. Both are called without a
  // lock.
  DetachedStates(std::function<bool(Slot)> has_writers,
                 std::function<void(const DetachedState&)> end);
  ~DetachedStates();  // ends no state: the store seals the remaining ones when it closes
  DetachedStates(const DetachedStates&) = delete;
  DetachedStates& operator=(const DetachedStates&) = delete;

  void Add(DetachedState state);
  // The last handle that could write to some file of that slot has been released.
  void Released(Slot slot);
  // Ends at once every state that has no writers.
  void EndQuietOnes();
  // The volume is being destroyed, with the user's consent. Returns the slot to release.
  std::optional<Slot> Drop(const VolumeId& volume);

  // True from Add until nothing in the volume can change any more: after a "no", data that is read is final.
  // Costs nothing while there are no such states.
  bool Contains(const VolumeId& volume) const;
  std::optional<DetachedState> Find(const VolumeId& volume) const;

 private:
  void Run(const std::stop_token& stop);
  std::optional<DetachedState> Take(const VolumeId& volume);

  const std::function<bool(Slot)> has_writers_;
  const std::function<void(const DetachedState&)> end_;
  std::atomic<size_t> count_{0};
  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<DetachedState> states_ GUARDED_BY(mutex_);
  bool look_ GUARDED_BY(mutex_) = false;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace ckptfs
