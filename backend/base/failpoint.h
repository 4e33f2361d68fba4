// Points at which a test makes the program die or fail.
#pragma once

#include <optional>
#include <string_view>

namespace ckptfs {

// Marks one step of an operation, so that a test can stop the program exactly there. Only tests may:
// failpoints are ignored unless the environment variable CKPTFS_TESTING is "may-kill-the-daemon", which no
// mount has by accident. The variable CKPTFS_FAILPOINT, read once, contains a comma-separated list of
//
//   NAME            the process kills itself with SIGKILL when it reaches NAME
//   NAME=ERRNO      the step throws Error with that errno, given as a number
//   NAME~MS         the step sleeps MS milliseconds first (to widen a race)
//   ...@N           any of these, only the N-th time (counted from 1)
//
// If CKPTFS_FAILPOINT_TRACE names a file, every failpoint that is reached is first appended to it, one name
// per line: so a test finds out which failpoints an operation passes.
//
// Without the variables a call costs one predictable branch. Names are "operation.step", e.g.
// "checkpoint.before-commit". Thread-safe.
void Failpoint(std::string_view name);

// A number that only tests may set: the seconds for which gc spares what nothing refers to.
inline constexpr const char* kTestGraceSeconds = "CKPTFS_TEST_GRACE_SECONDS";
// The value of that variable; empty if it is not set, or tests are not permitted.
std::optional<int> NumberForTest(const char* variable);

// Whether the name is one of these variables, and they are honoured.
bool IsFailpointVariable(std::string_view name);

}  // namespace ckptfs
