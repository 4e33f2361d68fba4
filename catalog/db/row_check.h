// Whether the rows of a catalog go together.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "catalog/db/records.h"

namespace ckptfs {

// A look at all rows of a catalog that is opened, before anything goes by them. What SQLite enforces while it
// writes it takes for granted when it reads, and so would whoever follows a reference: in a file that somebody
// has made up, rows may refer to what is not there, or to each other in circles. Each Add is one row; all
// throw Error EUCLEAN. For one thread.
class RowCheck {
 public:
  void Add(const WorkspaceRecord& workspace);
  void Add(const SnapshotRecord& snapshot);
  // A row that a volume belongs to. With two of them, one could delete what the other shows.
  void AddOwner(const VolumeId& volume);
  // When all are there.
  void RequireReferences() const;

  // Of numbers of which these are the largest and the smallest; 0 where there are none.
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
