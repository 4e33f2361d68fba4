// Comparisons without limits, as lists of changes.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/base/work_limits.h"
#include "backend/btrfs/changes.h"
#include "backend/compare/diff_list.h"

namespace ckptfs {

inline WorkLimits& NoLimits() {
  static thread_local FixedLimits limits(SIZE_MAX);
  return limits;
}

inline std::vector<DiffEntry> CompareSubvolumes(int older_root_fd, int newer_root_fd,
                                                PathBounds& bounds) {
  return CompareSubvolumes(older_root_fd, newer_root_fd, bounds, NoLimits(), Extent::kAll).All();
}
inline std::vector<DiffEntry> CompareSubvolumesBySend(int older_root_fd, int newer_root_fd) {
  return CompareSubvolumesBySend(older_root_fd, newer_root_fd, NoLimits(), Extent::kAll).All();
}
inline std::vector<DiffEntry> CompareSubvolumesByWalk(int older_root_fd, int newer_root_fd) {
  return CompareSubvolumesByWalk(older_root_fd, newer_root_fd, NoLimits(), Extent::kAll).All();
}

}  // namespace ckptfs
