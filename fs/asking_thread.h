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

// May take a moment. Any thread may call it.
SystemCall SystemCallOf(pid_t thread);

}  // namespace ckptfs
