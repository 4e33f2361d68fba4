// Runs `ckpt` and `ckptfs`.
#pragma once

#include <string>
#include <vector>

namespace ckptfs::stress {

struct ProgramResult {
  int exit_code = 0;  // 128 plus the number of the signal that ended it
  std::string errors;
};

// Finds the program in PATH, runs it in `directory`, and waits for it to end.
ProgramResult RunProgram(const std::vector<std::string>& words, int directory);

}  // namespace ckptfs::stress
