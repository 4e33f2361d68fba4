#include "fs/operations/space_keeper.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/low_priority.h"
#include "backend/interface/await_reclaimed.h"
#include "fs/operations/automatic_due.h"

namespace ckptfs {
namespace {

// If cleanup.interval is longer.
constexpr int64_t kLookIntervalNs = int64_t{60} * 1'000'000'000;
// For the space of one checkpoint. btrfs takes long only if it is very large.
constexpr std::chrono::seconds kReclaimWait{30};
constexpr std::chrono::milliseconds kReclaimPauseMax{1000};

uint64_t MostWanted(const std::vector<SpaceWish>& wishes, uint64_t total) {
  uint64_t most = 0;
  for (const SpaceWish& wish : wishes) most = std::max(most, wish.settings.MinFreeBytes(total));
  return most;
}

}  // namespace

void SpaceKeeper::Look(const std::vector<SpaceWish>& wishes) {
  if (MostWanted(wishes, UINT64_MAX) == 0 || !IsLookDue(wishes)) return;
  const SpaceInfo space = verbs_.store().backend().Space();
  const uint64_t wanted = MostWanted(wishes, space.total_bytes);
  bool is_short = space.free_bytes < wanted;
  size_t removed = 0;
  if (is_short) {
    removed = FreeSome(wishes, space.total_bytes);
    is_short = FreeBytes() < wanted;
  }
  looked_up_ns_ = ReadClocks().up_ns;
  if (!stopping_) Tell(is_short, removed);
}

bool SpaceKeeper::IsLookDue(const std::vector<SpaceWish>& wishes) const {
  int64_t interval_ns = kLookIntervalNs;
  for (const SpaceWish& wish : wishes) {
    interval_ns = std::min(interval_ns, wish.settings.SpanNs(kCleanupInterval).value());
  }
  return IsDue(interval_ns, {.up_ns = looked_up_ns_, .wall_ns = {}}, ReadClocks());
}

std::vector<SpaceKeeper::Removable> SpaceKeeper::OldestFirst(const std::vector<SpaceWish>& wishes,
                                                             uint64_t total) const {
  std::vector<Removable> found;
  for (const SpaceWish& wish : wishes) {
    const uint64_t wanted = wish.settings.MinFreeBytes(total);
    if (wanted == 0) continue;
    CleanupRequest request = wish.request;
    request.ignore_rules = true;
    try {
      for (const CleanupVerdict& verdict : verbs_.store().PlanCleanup(request)) {
        if (!verdict.keep) found.push_back({verdict.snapshot_id, verdict.created_ns, wanted});
      }
    } catch (const Error& error) {
      if (error.errno_value() != ENOENT) throw;  // the workspace was removed meanwhile
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Removable& a, const Removable& b) {
    return a.created_ns < b.created_ns;
  });
  return found;
}

size_t SpaceKeeper::FreeSome(const std::vector<SpaceWish>& wishes, uint64_t total) {
  const LowPriority low;
  const std::vector<Removable> plan = OldestFirst(wishes, total);
  if (plan.empty()) return 0;
  // Deletions from before this may be about to free enough.
  AwaitSpace();
  uint64_t free = FreeBytes();
  size_t removed = 0;
  for (const Removable& checkpoint : plan) {
    if (stopping_) break;
    if (free >= checkpoint.wanted_bytes) continue;
    const auto outcome = RemoveOne(verbs_, {.snapshot_id = checkpoint.snapshot_id});
    if (!outcome || !outcome->was_removed) continue;
    ++removed;
    AwaitSpace();
    free = FreeBytes();
  }
  return removed;
}

void SpaceKeeper::AwaitSpace() const {
  Backend& backend = verbs_.store().backend();
  AwaitReclaimed(backend, kReclaimWait, kReclaimPauseMax, [&] {
    if (!stopping_) backend.right_of_way().GiveWay(RightOfWay::kHeldMax);
    return !stopping_;
  });
}

// Each change once.
void SpaceKeeper::Tell(bool is_short, size_t removed) {
  if (removed > 0) spdlog::info("{}: {} checkpoints were removed", kSpaceMinFree, removed);
  if (is_short && !told_shortage_) {
    spdlog::warn("{}: less is free, and no more checkpoints can be removed", kSpaceMinFree);
  }
  told_shortage_ = is_short;
}

}  // namespace ckptfs
