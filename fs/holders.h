// Which processes hold files open, for people who read an EBUSY.
#pragma once

#include <string>
#include <vector>

#include "fs/open_files.h"
#include "fs/verbs.h"

namespace ckptfs {

// Finds the process behind each handle, by /proc: an open file of a FUSE mount shows its node id as
// "ino:" in /proc/PID/fdinfo/N (proc_pid_fdinfo(5)), a mapped one as inode in /proc/PID/maps, and
// reading those asks the filesystem nothing.
// The opener is looked at first; as a descriptor may have been passed on or inherited, all
// processes are looked at if it has it no longer. `prefix` (the workspace's root) is cut off the
// paths. A handle that no process has is left out: its release is on the way.
std::vector<OpenWriter> FindHolders(const std::vector<WriterHandle>& handles,
                                    const std::string& prefix);

}  // namespace ckptfs
