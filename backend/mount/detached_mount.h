// Detached mounts.
#pragma once

#include <sys/mount.h>

#include <string>
#include <utility>
#include <vector>

#include "backend/base/unique_fd.h"
#include "backend/mount/access_times.h"

namespace ckptfs {

// Adds these options to the attributes of a mount: mount_setattr(2).
void SetAccessTimes(const AccessTimes& wanted, mount_attr& attributes);

struct DetachedMountOptions {
  bool read_only = false;
  AccessTimes access_times;
  // Options of the filesystem itself, e.g. "rescue" = "nologreplay"; an empty value makes a flag.
  std::vector<std::pair<std::string, std::string>> filesystem_options;
};

// Mounts `device` without attaching it to the mount tree, so that nobody else can see or write it. Returns a
// directory descriptor (O_RDONLY) of its root. The kernel unmounts when the last descriptor below it is
// closed, however the process ends.
//
// nosuid, nodev: the descriptors are for reading and writing files only. Throws Error with the kernel's own
// reason, if it gives one.
UniqueFd MountDetached(const std::string& filesystem, const std::string& device,
                       const DetachedMountOptions& options);

// The same for a directory of a mounted filesystem: a private clone of its mount that shows only that
// directory, has its own options and ignores mounts on top of it elsewhere.
UniqueFd CloneDetached(int directory_fd, const DetachedMountOptions& options);

}  // namespace ckptfs
