// Operations on a store in a process of their own, for tests that cut them short.
#pragma once

#include <sys/types.h>

#include <string>

namespace ckptfs {

// Opens the store at `path` in a process of its own, with CKPTFS_FAILPOINT set (empty: not), and runs
// the operation of that name there, on a store as FillForSteps makes it. The failpoints that are passed go
// to the file `trace` (empty: none), and among them "step.begin" once the store is open.
pid_t StartStep(const std::string& name, const std::string& path, const std::string& failpoint,
                const std::string& trace = "");
enum class StepEnd { kDone, kKilled, kFailed };
StepEnd RunStep(const std::string& name, const std::string& path, const std::string& failpoint,
                const std::string& trace = "");

}  // namespace ckptfs
