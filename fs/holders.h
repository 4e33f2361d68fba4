// Which processes hold files open, for people who read an EBUSY or look at a checkpoint.
//
// By /proc: /proc/PID/fdinfo/N shows an open file's inode number as "ino:" (proc_pid_fdinfo(5)),
// /proc/PID/maps that of a mapped one, and reading those asks the filesystem nothing. Another filesystem, a
// mount of another store above all, may have files of the same numbers.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "fs/verbs.h"

namespace ckptfs {

// A file that somebody can write to.
struct HeldFile {
  uint64_t number = 0;  // its st_ino
  pid_t pid = 0;        // thread that opened it; 0: not known
};

// A process that can write to it.
struct Holder {
  uint64_t number = 0;
  pid_t pid = 0;
  std::string path;  // as that process sees it
};

using SearchDeadline = std::chrono::steady_clock::time_point;

// Those of the files `numbers` of the filesystem `device` (st_dev; 0: it is not known) that a process has
// open for writing or mapped so; each once. Looks no further when the deadline has passed.
std::vector<Holder> FilesHeldBy(pid_t process, dev_t device, const std::set<uint64_t>& numbers,
                                SearchDeadline deadline = SearchDeadline::max());

// The process of a thread; 0 if that is gone.
pid_t ProcessOf(pid_t thread);
// A process's command name, as /proc/PID/comm has it; empty if it is gone.
std::string CommandOf(pid_t process);
std::vector<pid_t> AllProcesses();

// Finds the processes behind each file. The opener is looked at first; as a descriptor may have been
// passed on or inherited, all processes are looked at for what no opener has any longer. A file that
// no process has is left out: its release is on the way.
std::vector<Holder> FindHolders(dev_t device, const std::vector<HeldFile>& files);

// `path` without `prefix` and the slash behind it, if it begins so.
std::string WithoutPrefix(std::string path, const std::string& prefix);

}  // namespace ckptfs
