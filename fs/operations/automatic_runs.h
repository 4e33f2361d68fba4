// What the daemon does by itself while a store is mounted.
#pragma once

#include <cstdint>
#include <optional>

#include "backend/base/periodic_timer.h"
#include "fs/operations/automatic_cleanup.h"
#include "fs/operations/scheduled_checkpoints.h"
#include "fs/operations/verbs.h"

namespace ckptfs {

// Scheduled checkpoints, cleanup, and the look at the store's health, all as the settings say. Two threads look
// every second for what is due: one cleans up, which may take long, the other does the rest.
//
// Owned by the server of the live trees.
class AutomaticRuns {
 public:
  explicit AutomaticRuns(Verbs& verbs);
  // Waits for a running checkpoint or removal; the next mount does the rest.
  ~AutomaticRuns() { cleanup_.Stop(); }
  AutomaticRuns(const AutomaticRuns&) = delete;
  AutomaticRuns& operator=(const AutomaticRuns&) = delete;

  // Called once, when the trees are about to be served.
  void Begin();

 private:
  void LookAtHealth() noexcept;

  Verbs& verbs_;
  std::optional<int64_t> health_up_ns_;
  ScheduledCheckpoints checkpoints_;
  AutomaticCleanup cleanup_;
  // Last: their threads use the members above.
  PeriodicTimer frequent_;
  PeriodicTimer cleaner_;
};

}  // namespace ckptfs
