// Removes the checkpoints that the keep rules do not keep.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "fs/operations/verbs.h"

namespace ckptfs {

// What happened to one checkpoint.
struct CleanupOutcome {
  CleanupVerdict verdict;    // if it became protected before its removal: keep, and why
  std::string error;         // why the removal failed; empty: it succeeded or was not attempted
  bool was_removed = false;  // never in a dry run
};

// Processes the checkpoints of a workspace, oldest first, and reports each. Each removal is a separate
// operation, followed by a pause of the same length so that other operations, such as checkpoints, can run in
// between. A removal that fails is reported, and the rest continues. A checkpoint deleted meanwhile is not
// reported. A dry run is the same without the removals.
//
// `tell` returns false to stop early. Throws Error before anything has been removed, as Store::PlanCleanup
// does, and EROFS.
void CleanUp(Verbs& verbs, const CleanupRequest& request, bool dry_run,
             const std::function<bool(const CleanupOutcome&)>& tell);

// The removal of one checkpoint, as above. Empty if it has been deleted meanwhile.
std::optional<CleanupOutcome> RemoveOne(Verbs& verbs, CleanupVerdict verdict);

}  // namespace ckptfs
