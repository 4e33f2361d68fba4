// Which processes hold files open: for messages about EBUSY and for the records of checkpoints.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/scouts.h"
#include "fs/processes/holders.h"

namespace ckptfs {

// A search of /proc by Scouts. It ends in time whatever the processes do: it skips a process at which the
// scout hangs, and goes on after it. For some seconds no other search looks at that process.
//
// Used by one thread, which holds no lock that another verb or request waits for.
class ProcessSearch {
 public:
  using Deadline = Scouts::Clock::time_point;

  // `device`: that of the files, see TakeOpen. `patience`: time limit per process.
  ProcessSearch(dev_t device, Deadline deadline, std::chrono::milliseconds patience);

  struct Opener {
    pid_t process = 0;  // 0: it is gone, or could not be searched for
    std::string command;
  };
  // Asks the opener of each file whether it still has the file. Of several entries with one number, each is
  // asked about.
  std::vector<Holder> AskOpeners(const std::vector<HeldFile>& files);
  // By the thread that opened. Known after AskOpeners.
  Opener OpenerOf(pid_t thread) const;

  // Asks those processes (or all), in ascending order, for files with these numbers, each until it is found.
  // Removes what was found from `numbers`.
  std::vector<Holder> Ask(const std::set<pid_t>& processes, std::set<uint64_t>& numbers);
  std::vector<Holder> AskAll(std::set<uint64_t>& numbers);

  // The time was up before all processes had been searched.
  bool is_late() const noexcept { return is_late_; }
  // Processes that could not be searched.
  const std::set<pid_t>& unseen() const noexcept { return unseen_; }

 private:
  void Run(Scouts::Task task, const std::function<std::string(uint64_t behind)>& request,
           const std::function<void(const std::string&)>& take);
  void NoteStuck(uint64_t place);
  std::vector<Holder> AskFor(const std::set<pid_t>& processes, std::set<uint64_t>& numbers);

  const dev_t device_;
  const Deadline deadline_;
  const std::chrono::milliseconds patience_;
  bool is_late_ = false;
  std::set<pid_t> unseen_;
  std::map<pid_t, Opener> openers_;  // by thread
};

// The result of FindHolders. A file that no process has is in neither list: its RELEASE is pending.
struct FoundHolders {
  std::vector<Holder> holders;
  // Files whose opener could not be searched: it probably has them.
  std::vector<Holder> unseen;
  bool is_complete = true;
};

// Finds the processes behind each file, within the time limit. Asks the opener first. A descriptor may have
// been passed on or inherited, so all processes are searched for files that no opener has any longer.
FoundHolders FindHolders(dev_t device, const std::vector<HeldFile>& files,
                         ProcessSearch::Deadline deadline);

// Those of these threads that are interrupted (IsInterrupted).
std::set<pid_t> InterruptedThreads(const std::set<pid_t>& threads, Signals by);

// `path` without `prefix` and the slash after it, if it starts with that.
std::string WithoutPrefix(std::string path, const std::string& prefix);

}  // namespace ckptfs
