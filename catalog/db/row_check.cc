#include "catalog/db/row_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr char kReading[] = "read catalog.db";

}  // namespace

void RowCheck::AddOwner(const VolumeId& volume) {
  if (owned_.insert(volume).second) return;
  throw Error(EUCLEAN, kReading, fmt::format("volume {} has more than one owner", volume.str()));
}

void RowCheck::Add(const WorkspaceRecord& workspace) {
  AddOwner(workspace.volume);
  workspaces_.insert(workspace.id);
  if (workspace.parent_id) live_parents_.insert(*workspace.parent_id);
}

void RowCheck::Add(const SnapshotRecord& snapshot) {
  AddOwner(snapshot.volume);
  workspaces_of_snapshots_.insert(snapshot.workspace_id);
  parents_.emplace(snapshot.id, snapshot.parent_id);
}

void RowCheck::RequireReferences() const {
  const bool placed = std::all_of(workspaces_of_snapshots_.begin(), workspaces_of_snapshots_.end(),
                                  [this](int64_t id) { return workspaces_.contains(id); });
  if (!placed) throw Error(EUCLEAN, kReading, "a snapshot is of a workspace that is not there");
  for (const int64_t id : live_parents_) RequireSnapshot(id);
  for (const auto& [id, parent] : parents_) RequireSnapshot(parent);
  RequireNoCircle();
}

void RowCheck::RequireSnapshot(std::optional<int64_t> id) const {
  if (!id || parents_.contains(*id)) return;
  throw Error(EUCLEAN, kReading, fmt::format("snapshot {} is referenced but missing", *id));
}

// Follows each chain until it reaches a row known to end: in total, as many steps as there are rows.
void RowCheck::RequireNoCircle() const {
  std::unordered_set<int64_t> end;
  std::unordered_set<int64_t> chain;
  for (const auto& [first, first_parent] : parents_) {
    chain.clear();
    std::optional<int64_t> at = first;
    while (at && !end.contains(*at)) {
      if (!chain.insert(*at).second) {
        throw Error(EUCLEAN, kReading, fmt::format("snapshot {} derives from itself", *at));
      }
      at = parents_.at(*at);
    }
    end.insert(chain.begin(), chain.end());
  }
}

void RowCheck::RequireRange(const char* what, int64_t largest, int64_t smallest, int64_t max) {
  if (smallest >= 0 && largest <= max) return;
  throw Error(EUCLEAN, kReading, fmt::format("{} is out of range", what));
}

}  // namespace ckptfs
