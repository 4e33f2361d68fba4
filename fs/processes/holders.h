// What /proc tells of a process: the files that it holds, its name, what it is about.
//
// /proc/PID/fdinfo/N shows an open file's inode number as "ino:" (proc_pid_fdinfo(5)), /proc/PID/maps that of
// a mapped one, and reading those asks the filesystem nothing. Another filesystem, a mount of another store
// above all, may have files of the same numbers. But it may wait for the process for ever: so only tasks of
// Scouts look, and all others search by ProcessSearch.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

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
  std::string path;     // as that process sees it
  std::string command;  // the process's, as in /proc/PID/comm
};

using TakeHolder = std::function<void(Holder holder)>;

// Takes those of `numbers`, files of the filesystem `device` (st_dev; 0: it is not known), out of it that the
// process has open for writing, or mapped so: each once.
void TakeOpen(pid_t process, dev_t device, std::set<uint64_t>& numbers, const TakeHolder& take);
void TakeMapped(pid_t process, dev_t device, std::set<uint64_t>& numbers, const TakeHolder& take);

// The process of a thread; 0 if that is gone.
pid_t ProcessOf(pid_t thread);
// Whether a signal waits for that thread: SIGKILL (to which the kernel turns all that are about to end it), or
// any that it neither blocks nor ignores.
enum class Signals { kKill, kAny };
bool IsInterrupted(pid_t thread, Signals by);
// A process's command name; empty if it is gone.
std::string CommandOf(pid_t process);
std::vector<pid_t> AllProcesses();  // in their order
// The user that a process runs as; none if it is gone.
std::optional<uid_t> UserOf(pid_t process);

}  // namespace ckptfs
