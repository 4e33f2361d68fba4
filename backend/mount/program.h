// Runs external programs for work that no library does.
#pragma once

#include <string>
#include <vector>

namespace ckptfs {

struct Program {
  std::string name;     // searched in PATH and in the sbin directories
  std::string package;  // that contains it
};

struct ProgramResult {
  int wait_status = 0;  // from waitpid(2)
  std::string output;   // stdout and stderr

  bool ExitedWith(int status) const;
  // The beginning of the output in one line, or how the program ended if it printed nothing.
  std::string Words() const;
};

// Runs the program and waits for its end. If an open file to work on is given, its path becomes the last
// argument. The program runs in the C locale, with no other environment, and with no signal blocked or
// ignored. Throws Error: ENOENT with what to install if it is missing.
ProgramResult RunProgram(const Program& program, std::vector<std::string> arguments,
                         int file_fd = -1);

}  // namespace ckptfs
