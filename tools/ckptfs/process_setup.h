// What the daemon is as a process, whoever started it.
#pragma once

namespace ckptfs {

// A daemon that many users share lives longer than the shell, the job or the program that ran mount(8), and
// must not be killed, slowed down or led astray by what that one had for itself. Both are called once,
// before there is another thread.

// Runs the program anew, with the same words, if it was started with any environment but its own: a PATH of
// system directories, what the manual names (ENVIRONMENT in ckptfs(8)), and what tests set
// (backend/base/failpoint.h). The dynamic linker and malloc(3) have read theirs when main begins, so to
// remove a variable then would be too late. Returns if nothing is to be done.
// Closes what the starter had open beside the standard descriptors, which must be open. Throws Error.
void RestartWithOwnEnvironment(char* const* arguments);

// Lifts limits of resources, resets signals, umask, priority and the score of the out-of-memory killer, and
// goes to /. In the foreground, what a terminal sends stays ignored where the starter has set it so (nohup,
// a shell script's &). Throws Error, also where a limit is there to stay that would end the daemon for what
// somebody does: of the size of files, and of processor time.
void SetUpProcess(bool foreground);

}  // namespace ckptfs
