// Runs `ckpt` and `ckptfs`.
#pragma once

#include <string>
#include <vector>

namespace ckptfs::stress {

struct ProgramResult {
  int exit_code = 0;  // 128 and the number if it was ended by a signal
  std::string errors;
};

// Finds it in PATH, runs it with `directory` as its working directory, and waits for its end.
ProgramResult RunProgram(const std::vector<std::string>& words, int directory);

}  // namespace ckptfs::stress
