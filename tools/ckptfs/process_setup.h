// Sets up the daemon's process, independently of its starter.
#pragma once

namespace ckptfs {

// A daemon shared by many users outlives the shell, the job or the program that ran mount(8), and must not be
// killed, slowed down or misled by its settings. Both functions are called once, before there is another
// thread.

// Runs the program again, with the same arguments, if it was started with any environment other than its own:
// a PATH of system directories, the variables in the manual (ENVIRONMENT in ckptfs(8)), and those set by
// tests (backend/base/failpoint.h). The dynamic linker and malloc(3) have already read their variables when
// main begins, so removing a variable then would be too late. Returns if there is nothing to do. Closes all
// descriptors except the standard ones, which must be open. Throws Error.
void RestartWithOwnEnvironment(char* const* arguments);

// Lifts resource limits, resets signals, umask, priority and the OOM score, and changes to /. In the
// foreground, terminal signals that the starter has set to ignored stay ignored (nohup, a shell script's &).
// Throws Error, also if a limit cannot be lifted by which a user's action would end the daemon: file size and
// CPU time.
void SetUpProcess(bool foreground);

}  // namespace ckptfs
