// Whether the rows of a catalog are consistent.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "catalog/db/records.h"

namespace ckptfs {

// Checks all rows of a catalog when it is opened, before anything relies on them. SQLite enforces constraints
// on writes but trusts them on reads, and so does code that follows a reference. In a forged file, rows may
// refer to missing rows, or to each other in cycles. Each Add takes one row; all functions throw Error
// EUCLEAN. Used by one thread.
class RowCheck {
 public:
  void Add(const WorkspaceRecord& workspace);
  void Add(const SnapshotRecord& snapshot);
  // A row that owns a volume. If two rows owned it, deleting one would destroy the other's data.
  void AddOwner(const VolumeId& volume);
  // Called when all rows have been added.
  void RequireReferences() const;

  // Checks a column by its largest and smallest value; both are 0 if there are no rows.
  static void RequireRange(const char* what, int64_t largest, int64_t smallest, int64_t max);

 private:
  void RequireSnapshot(std::optional<int64_t> id) const;
  void RequireNoCircle() const;

  std::unordered_set<VolumeId> owned_;
  std::unordered_set<int64_t> workspaces_;
  std::unordered_set<int64_t> workspaces_of_snapshots_;
  std::unordered_set<int64_t> live_parents_;
  std::unordered_map<int64_t, std::optional<int64_t>> parents_;  // of snapshots
};

}  // namespace ckptfs
