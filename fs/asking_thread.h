// What the thread is about that waits for the answer to a request.
#pragma once

#include <sys/types.h>

namespace ckptfs {

// The number of the system call in which a thread waits; -1 if it is not known. May take a moment. Any
// thread may call it.
long SystemCallOf(pid_t thread);

}  // namespace ckptfs
