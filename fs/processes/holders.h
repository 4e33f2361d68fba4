// What /proc tells about a process: the files that it holds, its name, its pending signals.
//
// /proc/PID/fdinfo/N shows an open file's inode number as "ino:" (proc_pid_fdinfo(5)), /proc/PID/maps that of
// a mapped file, and reading them sends the filesystem no request. Another filesystem, notably another
// store's mount, may have files with the same numbers. A read may block on the process for ever. So only
// tasks of Scouts read, and all other code searches by ProcessSearch.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ckptfs {

// A file that some process can write to.
struct HeldFile {
  uint64_t number = 0;  // st_ino
  pid_t pid = 0;        // thread that opened it; 0: unknown
};

// A process that can write to the file.
struct Holder {
  uint64_t number = 0;
  pid_t pid = 0;
  std::string path;     // as that process sees it
  std::string command;  // as in /proc/PID/comm
};

using TakeHolder = std::function<void(Holder holder)>;

// Removes from `numbers` the files that the process has open or mapped for writing, and reports each once.
// They are st_ino values of files of the filesystem `device` (st_dev; 0: unknown).
void TakeOpen(pid_t process, dev_t device, std::set<uint64_t>& numbers, const TakeHolder& take);
void TakeMapped(pid_t process, dev_t device, std::set<uint64_t>& numbers, const TakeHolder& take);

// The process of a thread; 0 if it is gone.
pid_t ProcessOf(pid_t thread);
// Whether the thread has a pending signal: SIGKILL (the kernel turns every signal that is about to end the
// process into it), or any that it neither blocks nor ignores.
enum class Signals { kKill, kAny };
bool IsInterrupted(pid_t thread, Signals by);
// A process's command name; empty if it is gone.
std::string CommandOf(pid_t process);
std::vector<pid_t> AllProcesses();  // in ascending order
// The user that a process runs as; none if it is gone.
std::optional<uid_t> UserOf(pid_t process);

}  // namespace ckptfs
