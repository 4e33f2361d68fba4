// Processes that look at what may never let go of whoever looks.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ckptfs {

// What a task uses of the process that it runs in. By that process's one thread.
class Scout {
 public:
  virtual ~Scout() = default;
  Scout(const Scout&) = delete;
  Scout& operator=(const Scout&) = delete;

  // Tells where it is about to look: any number but 0. If the look never ends, this is known of it.
  virtual void LookAt(uint64_t place) = 0;
  // Hands on something that was found. What has been is kept, however the task ends.
  virtual void Report(std::string bytes) = 0;

 protected:
  Scout() = default;
};

// Other users' processes, and files on filesystems that are not ours, can make a look at them last for ever:
// to read /proc/PID/maps waits for a lock of that process, which it may hold while it waits for a dead
// filesystem; to ask for a file's attributes waits for its filesystem. A thread of the daemon would be
// lost, and what it holds with it. So a scout looks: a child process, which is killed when it takes too long.
//
// Scouts are no part of the daemon (a process that waits for an answer of FUSE can perhaps not even be
// killed), hold nothing of it but one end of a socket, and end when it ends, however that came. They are
// forked, when needed, by a process of their own that never looks at anything itself, as a program
// with threads cannot well fork. Some are kept for the next task.
//
// One object for each program, made while it has one thread and nothing that must not be inherited, and
// the last one to go. Where there is none, tasks run in the caller, without any limit.
class Scouts {
 public:
  using Clock = std::chrono::steady_clock;
  // A function of this program. May throw: then it has ended early.
  using Task = void (*)(Scout& scout, std::string_view request);

  struct Outcome {
    enum class End {
      kDone,
      kStuck,  // it slept at `place` for as long as the caller's patience
      kLate,   // the time was up, at `place`
      kFailed  // no scout was to be had, or it came to a bad end
    };
    End end = End::kFailed;
    uint64_t place = 0;  // where it looked last; 0: it had not begun to
    std::vector<std::string> reports;
  };

  Scouts();
  ~Scouts();
  Scouts(const Scouts&) = delete;
  Scouts& operator=(const Scouts&) = delete;

  // Has a scout do the task and returns soon after the deadline at the latest. Any thread may call it. Throws
  // only for want of memory.
  static Outcome Send(Task task, std::string_view request, Clock::time_point deadline,
                      std::chrono::milliseconds patience);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ckptfs
