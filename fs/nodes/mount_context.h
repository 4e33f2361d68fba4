// The options of one mount, and what the kernel can do for it.
#pragma once

#include <sys/types.h>

#include <string>

#include "fs/nodes/kernel_cache.h"

namespace ckptfs {

enum class SnapshotDirectory { kHidden, kVisible, kOff };

struct MountOptions {
  std::string mountpoint;  // absolute
  SnapshotDirectory snapshot_directory = SnapshotDirectory::kHidden;
  bool detach_busy = false;  // -o busy=detach
  // -o strictatime: every read must reach the underlying files. The kernel then caches no content of small
  // files, directories and symbolic links.
  bool strict_access_times = false;
  // Live trees are read-only although the mount is not: set by the store's recovery. `ckpt fsck --repair`
  // clears this condition, so it must be able to open its control file for writing.
  bool refuse_changes = false;
};

// Constant once the mount is connected to the kernel, which is before requests are answered.
struct MountContext {
  const MountOptions options;
  dev_t device = 0;  // st_dev of the mount; 0: unknown
  // Whether the kernel can be told to look up a name again.
  bool can_expire_names = false;

  // How long the kernel may cache names and attributes of volumes' files: for ever if they can be invalidated
  // at once, otherwise not at all.
  double KeepSeconds() const noexcept { return can_expire_names ? kForeverSeconds : 0; }
};

}  // namespace ckptfs
