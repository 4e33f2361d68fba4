// Looks for calls that do not return.
#pragma once

#include <string>

#include "tests/stress/board.h"

namespace ckptfs::stress {

// Prints, on stderr, each call that has been under way for longer than `longest_ns`, with what its
// process waits for, and then where all threads of the store's daemon are. True if there was one.
bool ReportHungCalls(const Board& board, int64_t longest_ns, const std::string& store);

}  // namespace ckptfs::stress
