// How long the paths in subvolumes are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "backend/base/work_limits.h"

namespace ckptfs {

// Knows, of read-only subvolumes, a length that no path in them exceeds. For whoever asks before the kernel is
// asked to compare two of them (BTRFS_IOC_SEND): it puts the paths of what has changed together, and where
// one is over PATH_MAX it complains to its log (fs_path_ensure_buf; on some machines it panics then), and
// fails.
//
// Of one subvolume of a line every directory entry is read once: 1 s for a million. Of those that follow
// in the line only what has changed since, and a directory that has moved counts as if it held the
// longest path of the one before. The bounds of what was looked at last are remembered.
//
// Any thread may call it.
class PathBounds {
 public:
  // Whether a comparison might meet a path over PATH_MAX. Throws Error, and what the limits say. Needs CAP_SYS_ADMIN.
  bool MayExceedPathMax(int older_root_fd, int newer_root_fd, WorkLimits& limits);

 private:
  using SubvolumeUuid = std::array<uint8_t, 16>;

  std::optional<size_t> Known(const SubvolumeUuid& uuid) const;
  size_t Remember(const SubvolumeUuid& uuid, size_t bound);
  size_t BoundOf(int root_fd, int base_root_fd, WorkLimits& limits);

  mutable std::mutex mutex_;  // of the map only: nobody waits while another looks
  std::map<SubvolumeUuid, size_t> bounds_;
};

}  // namespace ckptfs
