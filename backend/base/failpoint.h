// Places where a test makes the program die or fail.
#pragma once

#include <string_view>

namespace ckptfs {

// Marks one step of an operation, so that a test can stop the program exactly there. Only tests may: nothing
// below counts unless the environment variable CKPTFS_TESTING is "may-kill-the-daemon", which no mount can
// have by accident. The variable CKPTFS_FAILPOINT, read once, holds a comma-separated list of
//
//   NAME            the process kills itself with SIGKILL when it comes to NAME
//   NAME=ERRNO      the step throws Error with that errno, given as a number
//   NAME~MS         the step sleeps MS milliseconds first (to widen a race)
//   ...@N           any of these, the N-th time only (counted from 1)
//
// CKPTFS_FAILPOINT_TRACE, the path of a file, has every name that is passed appended to that file,
// one a line, before anything else happens: so a test finds out what an operation passes.
//
// Without the variables a call costs one predictable branch. Names are "operation.step", as
// "checkpoint.before-commit". Any thread may call it.
void Failpoint(std::string_view name);

// True for the names of these three variables where they count.
bool IsFailpointVariable(std::string_view name);

}  // namespace ckptfs
