// Programs of other packages that are run because no library does their work.
#pragma once

#include <string>
#include <vector>

namespace ckptfs {

struct Program {
  std::string name;     // looked for in PATH and in the sbin directories
  std::string package;  // that has it
};

struct ProgramResult {
  int wait_status = 0;  // of waitpid(2)
  std::string output;   // of stdout and stderr

  bool ExitedWith(int status) const;
  // The beginning of the output in one line, or how the program ended if it said nothing.
  std::string Words() const;
};

// Runs it and waits for its end. An open file that it is to work on may be given: its path is then the last
// argument. Locale C, no other environment, no signal blocked or ignored. Throws Error: ENOENT with what
// to install if it is not there.
ProgramResult RunProgram(const Program& program, std::vector<std::string> arguments,
                         int file_fd = -1);

}  // namespace ckptfs
