// Cleanup by the daemon itself: cleanup.auto.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <vector>

#include "fs/operations/automatic_due.h"
#include "fs/operations/cleanup.h"
#include "fs/operations/look_pace.h"
#include "fs/operations/space_keeper.h"
#include "fs/operations/verbs.h"

namespace ckptfs {

// Cleans up the workspaces whose cleanup.auto is on, each at its interval, and then frees space if their
// settings want more free than there is.
//
// Each removal is one operation with a pause of the same length after it, as for `ckpt cleanup`, so others come
// in between. A failure is logged, and the rest continues. Used by one thread, except for Stop.
class AutomaticCleanup {
 public:
  explicit AutomaticCleanup(Verbs& verbs) : verbs_(verbs), space_(verbs, stopping_) {}

  // Does what is due.
  void Look() noexcept;
  // Ends a running Look after its current removal.
  void Stop() noexcept { stopping_ = true; }

 private:
  struct Known {  // of a workspace
    LastRun last;
    SeenLongAgo seen;
  };
  struct Subject {
    WorkspaceRecord workspace;
    Settings settings;
    CleanupRequest request;
  };

  void LookAtAll();
  std::vector<Subject> Subjects();
  CleanupRequest RequestFor(int64_t workspace_id, const Settings& settings, Known& known) const;
  bool IsCleanupDue(const Subject& subject);
  void CleanUpWorkspace(const Subject& subject);

  Verbs& verbs_;
  std::atomic<bool> stopping_{false};
  std::map<int64_t, Known> known_;  // by workspace
  LookPace pace_;
  SpaceKeeper space_;
};

}  // namespace ckptfs
