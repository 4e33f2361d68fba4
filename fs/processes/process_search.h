// Which processes hold files open, for people who read an EBUSY or look at a checkpoint.
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

// A search of /proc by Scouts. It ends in time whatever the processes are about: one at which the scout
// hangs is passed over, and the search goes on behind it. For some seconds no search then looks there.
//
// Used by one thread, which holds no lock that a verb or a request of somebody else waits for.
class ProcessSearch {
 public:
  using Deadline = Scouts::Clock::time_point;

  // `device`: that of the files, see TakeOpen. `patience`: how long one process may take.
  ProcessSearch(dev_t device, Deadline deadline, std::chrono::milliseconds patience);

  struct Opener {
    pid_t process = 0;  // 0: it is gone, or could not be looked for
    std::string command;
  };
  // Asks the process that has opened each file whether it has it still. Of several files of one number each
  // is asked for.
  std::vector<Holder> AskOpeners(const std::vector<HeldFile>& files);
  // By the thread that opened. Known when AskOpeners has returned.
  Opener OpenerOf(pid_t thread) const;

  // Asks those processes (in their order) for the files of these numbers, or all that there are, each file
  // until it is found; takes what is found out of `numbers`.
  std::vector<Holder> Ask(const std::set<pid_t>& processes, std::set<uint64_t>& numbers);
  std::vector<Holder> AskAll(std::set<uint64_t>& numbers);

  // Not all that was asked for has been looked at, as the time was up.
  bool is_late() const noexcept { return is_late_; }
  // Processes that could not be looked at.
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

// What FindHolders has found. A file that no process has is in none of the two: its release is on the way.
struct FoundHolders {
  std::vector<Holder> holders;
  // Files whose opener could not be looked at: probably it has them.
  std::vector<Holder> unseen;
  bool is_complete = true;
};

// Finds the processes behind each file, in the time that there is. The opener is looked at first; as a
// descriptor may have been passed on or inherited, all processes are looked at for what no opener has any
// longer.
FoundHolders FindHolders(dev_t device, const std::vector<HeldFile>& files,
                         ProcessSearch::Deadline deadline);

// Of these threads, those that are interrupted (IsInterrupted).
std::set<pid_t> InterruptedThreads(const std::set<pid_t>& threads, Signals by);

// `path` without `prefix` and the slash behind it, if it begins so.
std::string WithoutPrefix(std::string path, const std::string& prefix);

}  // namespace ckptfs
