// Applies the keep rules to a workspace's checkpoints.
#include <algorithm>
#include <cerrno>
#include <iterator>

#include "backend/base/error.h"
#include "backend/base/time.h"
#include "catalog/store/store_context.h"

namespace ckptfs {
namespace {

constexpr size_t kReadAtOnce = 100;

// What a plan needs of a checkpoint: the texts of very many may be too large to keep.
struct Candidate {
  int64_t id = 0;
  std::string name;
  int64_t created_ns = 0;
  bool is_judged = false;  // by the rules; pinned and held ones are always kept and do not count
  std::vector<std::string> reasons;
};

// What protects checkpoints at the moment, whatever the rules say.
class Protection {
 public:
  Protection(const StoreContext& store, int64_t workspace_id) : store_(store) {
    const auto newest = store.catalog->NewestCheckpoint(workspace_id);
    if (newest) newest_ = newest->id;
    for (const WorkspaceRecord& workspace : store.catalog->ListWorkspaces()) {
      if (workspace.id == workspace_id) {
        parent_ = workspace.parent_id;
      } else if (workspace.parent_id) {
        parents_of_others_.push_back(*workspace.parent_id);
      }
    }
  }

  std::vector<std::string> ReasonsFor(const SnapshotRecord& snapshot) const {
    std::vector<std::string> reasons;
    const auto add = [&reasons](bool holds, const char* reason) {
      if (holds) reasons.emplace_back(reason);
    };
    const auto& others = parents_of_others_;
    add(snapshot.pinned, "pinned");
    if (!snapshot.holds.empty()) reasons.push_back("held: " + NamesOf(snapshot.holds));
    add(snapshot.state == SnapshotState::kMissing, "its data is missing");
    add(snapshot.id == newest_, "newest");
    add(snapshot.id == parent_, "parent of the live state");
    add(std::find(others.begin(), others.end(), snapshot.id) != others.end(),
        "parent of another workspace's live state");
    add(store_.unsealed.IsInWriting(snapshot.volume), "programs go on writing to it");
    return reasons;
  }

 private:
  const StoreContext& store_;
  std::optional<int64_t> newest_, parent_;
  std::vector<int64_t> parents_of_others_;
};

std::vector<Candidate> CheckpointsOf(const StoreContext& store, int64_t workspace_id) {
  const Protection protection(store, workspace_id);
  std::vector<Candidate> found;
  int64_t after_id = 0;
  for (;;) {
    const auto page = store.catalog->ListSnapshots(workspace_id, after_id, kReadAtOnce);
    if (page.empty()) return found;
    after_id = page.back().id;
    for (const SnapshotRecord& snapshot : page) {
      if (!IsCheckpoint(snapshot.kind)) continue;
      found.push_back({.id = snapshot.id,
                       .name = snapshot.name,
                       .created_ns = snapshot.created_ns,
                       .is_judged = !snapshot.pinned && snapshot.holds.empty() &&
                                    snapshot.state == SnapshotState::kOk,
                       .reasons = protection.ReasonsFor(snapshot)});
    }
  }
}

// Adds the rules' verdicts on the checkpoints that they judge.
void Judge(const KeepRules& rules, int64_t now_ns, std::vector<Candidate>& candidates) {
  std::vector<int64_t> times;
  for (const Candidate& candidate : candidates) {
    if (candidate.is_judged) times.push_back(candidate.created_ns);
  }
  const auto verdicts = ReasonsToKeep(rules, times, now_ns);
  auto verdict = verdicts.begin();
  for (Candidate& candidate : candidates) {
    if (!candidate.is_judged) continue;
    candidate.reasons.insert(candidate.reasons.end(), verdict->begin(), verdict->end());
    ++verdict;
  }
}

// Only ids up to the given one tell for certain how long a checkpoint has been there: dates may be wrong.
void SpareYoung(const CleanupRequest& request, int64_t now_ns, std::vector<Candidate>& candidates) {
  if (request.min_age_ns <= 0) return;
  for (Candidate& candidate : candidates) {
    const bool is_old =
        candidate.id <= request.old_up_to_id || candidate.created_ns <= now_ns - request.min_age_ns;
    if (!is_old) candidate.reasons.emplace_back("younger than cleanup.min-age");
  }
}

CleanupVerdict VerdictOn(Candidate candidate, const CleanupRequest& request) {
  const bool keep = !candidate.reasons.empty();
  if (!keep) {
    candidate.reasons.emplace_back(request.ignore_rules ? "space is short" : "no rule keeps it");
  }
  return {.snapshot_id = candidate.id,
          .name = std::move(candidate.name),
          .created_ns = candidate.created_ns,
          .keep = keep,
          .reasons = std::move(candidate.reasons)};
}

}  // namespace

std::vector<CleanupVerdict> Store::PlanCleanup(const CleanupRequest& request) const {
  const StoreContext& store = *impl_;
  const WorkspaceRecord workspace = store.Workspace(request.workspace_id);
  if (request.rules.IsEmpty() && !request.ignore_rules) {
    throw Error(EINVAL, "clean up workspace " + workspace.name, "no rule says what to keep",
                "Give one, such as --keep-last 10, or set one: ckpt config keep.last 10");
  }
  std::vector<Candidate> candidates = CheckpointsOf(store, workspace.id);
  const int64_t now_ns = store.clock.NowNs();
  if (!request.ignore_rules) Judge(request.rules, now_ns, candidates);
  SpareYoung(request, now_ns, candidates);
  std::vector<CleanupVerdict> verdicts;
  verdicts.reserve(candidates.size());
  for (Candidate& candidate : candidates) {
    verdicts.push_back(VerdictOn(std::move(candidate), request));
  }
  return verdicts;
}

// With the workspace locked: a checkpoint's protection may have changed since the plan. On disk: as for
// Store::DeleteSnapshot; if the process is killed between two removals, the rest still exist.
std::vector<std::string> Store::RemoveUnprotected(int64_t snapshot_id) {
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot held = store.HoldSnapshot(snapshot_id);
  store.RequireWritable("delete snapshot " + held.snapshot.name);
  std::vector<std::string> reasons =
      Protection(store, held.snapshot.workspace_id).ReasonsFor(held.snapshot);
  if (reasons.empty()) DeleteForGood(store, held.snapshot);
  return reasons;
}

void Store::NoteCleanup(int64_t workspace_id) {
  // Uncounted: if it is lost, the next cleanup only comes earlier.
  Catalog::Transaction transaction(*impl_->catalog, Durability::kWithNextFlush);
  transaction.SetCleaned(workspace_id, NowNs());
  transaction.CommitUncounted();
}

}  // namespace ckptfs
