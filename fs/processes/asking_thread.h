// The system call of the thread that waits for the reply to a request.
#pragma once

#include <sys/types.h>

#include <array>

namespace ckptfs {

// The system call in which a thread waits.
struct SystemCall {
  long number = -1;  // -1: unknown
  std::array<unsigned long, 3> arguments{};
};

// A scout reads it, as the read takes a lock of the examined process. Takes a moment, at most some tens of
// milliseconds; then the result is unknown. Thread-safe.
SystemCall SystemCallOf(pid_t thread);

}  // namespace ckptfs
