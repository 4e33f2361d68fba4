// Going into the background without losing errors.
#pragma once

#include <string>

#include "backend/base/unique_fd.h"

namespace ckptfs {

// Forks. The parent never returns: it waits for the child's report and exits accordingly, so that the command
// returns when the mount is usable, or prints one line. The child returns; it leads its own session and its
// working directory is /. Threads, locks and the mount must be made after this: none of them survives a fork.
class Background {
 public:
  Background();
  // Something is mounted on that directory, and its requests are about to be served: the parent exits with 0
  // when the first one has been answered, and the child releases stdin, stdout and stderr.
  void ReportReady(const std::string& mountpoint);
  // The parent prints `line` and exits with `exit_status`.
  void ReportFailure(const std::string& line, int exit_status);

 private:
  UniqueFd pipe_;
};

}  // namespace ckptfs
