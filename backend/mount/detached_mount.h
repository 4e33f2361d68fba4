// Mounts that no path leads to.
#pragma once

#include <sys/mount.h>

#include <string>
#include <utility>
#include <vector>

#include "backend/base/unique_fd.h"
#include "backend/mount/access_times.h"

namespace ckptfs {

// Adds what these options are as attributes of a mount: mount_setattr(2).
void SetAccessTimes(const AccessTimes& wanted, mount_attr& attributes);

struct DetachedMountOptions {
  bool read_only = false;
  AccessTimes access_times;
  // Options of the filesystem itself, as "rescue" = "nologreplay"; an empty value makes a flag.
  std::vector<std::pair<std::string, std::string>> filesystem_options;
};

// Mounts `device` without attaching it to any place in the tree of mounts, so that nobody else can
// see or write it. Returns a directory descriptor (O_RDONLY) of its root. The kernel unmounts when
// the last descriptor below it is closed, however the process ends.
//
// Not setuid, no device nodes: the descriptors are for reading and writing files only. Throws Error
// with the kernel's own reason where it gives one.
UniqueFd MountDetached(const std::string& filesystem, const std::string& device,
                       const DetachedMountOptions& options);

// The same for a directory of a filesystem that is mounted already: a private clone of its mount
// which holds nothing but that directory, has its own options and does not see what is mounted over
// it elsewhere.
UniqueFd CloneDetached(int directory_fd, const DetachedMountOptions& options);

}  // namespace ckptfs
