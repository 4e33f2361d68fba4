// Child processes for reads that may hang for ever.
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

// The interface of a task to the process that it runs in. Used by that process's single thread.
class Scout {
 public:
  virtual ~Scout() = default;
  Scout(const Scout&) = delete;
  Scout& operator=(const Scout&) = delete;

  // Announces where it is about to look: any number except 0. If the look hangs, this is what the caller
  // learns.
  virtual void LookAt(uint64_t place) = 0;
  // Passes on a finding. It is kept however the task ends.
  virtual void Report(std::string bytes) = 0;

 protected:
  Scout() = default;
};

// Examining other users' processes, or files on filesystems that are not ours, can hang for ever: reading
// /proc/PID/maps waits for a lock of that process, which it may hold while it waits for a dead filesystem;
// reading a file's attributes waits for its filesystem. A thread of the daemon would be lost, with everything
// that it holds. So a scout looks: a child process that is killed if it takes too long.
//
// Scouts are not part of the daemon (a process that waits for a FUSE reply may not even be killable). They
// hold nothing of it except one end of a socket, and end when it ends, for whatever reason. They are forked
// on demand by a separate process that never looks at anything itself, since a multithreaded program cannot
// safely fork. Some are kept for the next task.
//
// One object per program. It is created while the program has one thread and no descriptor that must not be
// inherited, and destroyed last. Without it, tasks run in the caller, without any limit.
class Scouts {
 public:
  using Clock = std::chrono::steady_clock;
  // A function of this program. May throw; then it ends early.
  using Task = void (*)(Scout& scout, std::string_view request);

  struct Outcome {
    enum class End {
      kDone,
      kStuck,  // it slept at `place` for the caller's patience
      kLate,   // the time was up, at `place`
      kFailed  // no scout was available, or it died
    };
    End end = End::kFailed;
    uint64_t place = 0;  // where it looked last; 0: nowhere yet
    std::vector<std::string> reports;
  };

  Scouts();
  ~Scouts();
  Scouts(const Scouts&) = delete;
  Scouts& operator=(const Scouts&) = delete;

  // Makes a scout run the task; returns soon after the deadline at the latest. Thread-safe. Throws only if
  // out of memory.
  static Outcome Send(Task task, std::string_view request, Clock::time_point deadline,
                      std::chrono::milliseconds patience);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace ckptfs
