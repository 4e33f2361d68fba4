// Bounds for the lengths of paths in subvolumes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include "backend/base/mutex.h"
#include "backend/base/work_limits.h"

namespace ckptfs {

// Keeps, for read-only subvolumes, a length that no path in them exceeds. Needed before the kernel compares
// two of them (BTRFS_IOC_SEND): it builds the paths of everything that has changed, and if one exceeds
// PATH_MAX it writes a warning to its log (fs_path_ensure_buf; some machines panic on that), and fails.
//
// For one subvolume of a line, every directory entry is read once: 1 s for a million. For its successors,
// only what has changed since is read, and a moved directory counts as if it contained the longest path of
// the previous one. The bounds of recent subvolumes are cached.
//
// Thread-safe.
class PathBounds {
 public:
  // Whether a comparison might meet a path above PATH_MAX. Throws Error, and the errors of the limits. Needs
  // CAP_SYS_ADMIN.
  bool MayExceedPathMax(int older_root_fd, int newer_root_fd, WorkLimits& limits);

 private:
  using SubvolumeUuid = std::array<uint8_t, 16>;

  std::optional<size_t> Known(const SubvolumeUuid& uuid) const;
  size_t Remember(const SubvolumeUuid& uuid, size_t bound);
  size_t BoundOf(int root_fd, int base_root_fd, WorkLimits& limits);

  mutable Mutex mutex_;  // guards the map only: concurrent scans do not wait
  std::map<SubvolumeUuid, size_t> bounds_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
