#include "fs/operations/cleanup.h"

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/low_priority.h"

namespace ckptfs {

std::optional<CleanupOutcome> RemoveOne(Verbs& verbs, CleanupVerdict verdict) {
  CleanupOutcome outcome{.verdict = std::move(verdict)};
  const auto begin = std::chrono::steady_clock::now();
  verbs.store().backend().right_of_way().GiveWay(RightOfWay::kHeldMax);
  try {
    const std::vector<std::string> protections =
        verbs.RemoveUnprotected(outcome.verdict.snapshot_id);
    outcome.was_removed = protections.empty();
    if (!outcome.was_removed) {
      outcome.verdict.keep = true;
      outcome.verdict.reasons = protections;
    }
  } catch (const Error& error) {
    if (error.errno_value() == ENOENT) return std::nullopt;
    outcome.error = error.what();
  }
  std::this_thread::sleep_for(std::chrono::steady_clock::now() - begin);
  return outcome;
}

void CleanUp(Verbs& verbs, const CleanupRequest& request, bool dry_run,
             const std::function<bool(const CleanupOutcome&)>& tell) {
  const LowPriority low;
  std::vector<CleanupVerdict> plan = verbs.store().PlanCleanup(request);
  if (!dry_run) verbs.store().RequireWritable("clean up");
  for (CleanupVerdict& verdict : plan) {
    const bool stays = verdict.keep || dry_run;
    const std::optional<CleanupOutcome> outcome =
        stays ? CleanupOutcome{.verdict = std::move(verdict)}
              : RemoveOne(verbs, std::move(verdict));
    if (outcome && !tell(*outcome)) return;
  }
}

}  // namespace ckptfs
