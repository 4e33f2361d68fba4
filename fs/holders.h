// Which processes hold files open, for people who read an EBUSY.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "fs/verbs.h"

namespace ckptfs {

// A file that somebody can write to.
struct HeldFile {
  uint64_t number = 0;  // its st_ino
  pid_t pid = 0;        // thread that opened it; 0: not known
};

// Finds the process behind each file, by /proc: /proc/PID/fdinfo/N shows an open file's inode number
// as "ino:" (proc_pid_fdinfo(5)), /proc/PID/maps that of a mapped one, and reading those asks the
// filesystem nothing. The opener is looked at first; as a descriptor may have been passed on or
// inherited, all processes are looked at if it has it no longer. `prefix` (the workspace's root) is
// cut off the paths. A file that no process has is left out: its release is on the way.
std::vector<OpenWriter> FindHolders(const std::vector<HeldFile>& files, const std::string& prefix);

}  // namespace ckptfs
