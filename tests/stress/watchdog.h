// Detects calls that do not return.
#pragma once

#include <string>

#include "tests/stress/board.h"

namespace ckptfs::stress {

// Prints on stderr each call that has been in progress for longer than `longest_ns` and what its process
// waits for, then the stacks of all threads of the store's daemon. True if there was any.
bool ReportHungCalls(const Board& board, int64_t longest_ns, const std::string& store);

}  // namespace ckptfs::stress
