// What the thread is about that waits for the answer to a request.
#pragma once

#include <sys/types.h>

#include <array>

namespace ckptfs {

// The system call in which a thread waits.
struct SystemCall {
  long number = -1;  // not known
  std::array<unsigned long, 3> arguments{};
};

// By a scout, as the lock that the look takes is one of that process's: takes a moment, and some tens of
// milliseconds at most, after which it is not known. Any thread may call it.
SystemCall SystemCallOf(pid_t thread);

}  // namespace ckptfs
