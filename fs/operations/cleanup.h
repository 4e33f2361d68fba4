// Removes the checkpoints that rules no longer keep.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "fs/operations/verbs.h"

namespace ckptfs {

// What became of one checkpoint.
struct CleanupOutcome {
  CleanupVerdict verdict;    // of one to be removed that was protected meanwhile: keep, and why
  std::string error;         // why it could not be removed; empty: it could, or that was not tried
  bool was_removed = false;  // never in a dry run
};

// Goes through the checkpoints of a workspace, oldest first, and tells of each. Each removal is an operation of
// its own, after which this rests for as long as it took: whoever wants to make a checkpoint meanwhile comes in
// between. A removal that fails is told, and the rest goes on. What has gone in the meantime is not told. A dry
// run is the same without the removals.
//
// `tell` returns false to end it early. Throws Error before anything has been removed, as Store::PlanCleanup does,
// and EROFS.
void CleanUp(Verbs& verbs, const CleanupRequest& request, bool dry_run,
             const std::function<bool(const CleanupOutcome&)>& tell);

}  // namespace ckptfs
