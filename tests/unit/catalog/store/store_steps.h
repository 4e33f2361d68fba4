// Operations on a store in a separate process, for tests that interrupt them.
#pragma once

#include <sys/types.h>

#include <string>

namespace ckptfs {

// Opens the store at `path` in a new process, with CKPTFS_FAILPOINT set (empty: not set), and runs the
// operation of that name there, on a store as FillForSteps makes it. The failpoints that it passes are
// written to the file `trace` (empty: none), including "step.begin" once the store is open.
pid_t StartStep(const std::string& name, const std::string& path, const std::string& failpoint,
                const std::string& trace = "");
enum class StepEnd { kDone, kKilled, kFailed };
StepEnd RunStep(const std::string& name, const std::string& path, const std::string& failpoint,
                const std::string& trace = "");

}  // namespace ckptfs
