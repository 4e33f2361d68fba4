// Checkpoints that the daemon makes by itself: `schedule`.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "backend/base/elastic_pool.h"
#include "backend/base/mutex.h"
#include "fs/operations/automatic_due.h"
#include "fs/operations/look_pace.h"
#include "fs/operations/verbs.h"

namespace ckptfs {

// Checkpoints each workspace that has a schedule if it has changed since the snapshot that it derives from, so
// that no checkpoint is empty or equals the one before. Usually a number of the backend says that nothing has
// changed (Backend::ChangeMarker); otherwise the two states are compared. Failures are logged, and tried again
// after the same time.
//
// Look is for one thread. Comparisons and checkpoints run on threads of their own, of which no user's workspaces
// can have all.
class ScheduledCheckpoints {
 public:
  explicit ScheduledCheckpoints(Verbs& verbs) : verbs_(verbs) {}
  // Waits for running checkpoints, and gives up comparisons.
  ~ScheduledCheckpoints() { stopping_ = true; }
  ScheduledCheckpoints(const ScheduledCheckpoints&) = delete;
  ScheduledCheckpoints& operator=(const ScheduledCheckpoints&) = delete;

  // Begins what is due.
  void Look() noexcept;

 private:
  // A live state that was found to equal the snapshot that it derives from.
  struct Unchanged {
    VolumeId volume;
    std::optional<int64_t> parent_id;
    uint64_t marker = 0;
    bool operator==(const Unchanged&) const = default;
  };
  struct Known {  // of a workspace
    std::optional<int64_t> looked_up_ns;
    bool is_running = false;
    std::optional<Unchanged> unchanged;
    std::string failure;  // of the last run
  };

  void LookAtAll();
  bool IsDueFor(const WorkspaceRecord& workspace);
  void Begin(const WorkspaceRecord& workspace);
  void Run(const WorkspaceRecord& workspace) noexcept;
  void CheckpointIfChanged(int64_t workspace_id);
  bool HasChanged(const WorkspaceRecord& workspace);
  bool IsKnownUnchanged(const WorkspaceRecord& workspace, const Unchanged& state);
  void End(const WorkspaceRecord& workspace, const std::string& failure);

  Verbs& verbs_;
  std::atomic<bool> stopping_{false};
  LookPace pace_;
  Mutex mutex_;
  std::map<int64_t, Known> known_ GUARDED_BY(mutex_);  // by workspace
  ElasticPool pool_{std::chrono::seconds(5), 4};       // last: its tasks use the members above
};

}  // namespace ckptfs
