// Going into the background without losing an error.
#pragma once

#include <string>

#include "backend/base/unique_fd.h"

namespace ckptfs {

// Forks. The parent never returns: it waits for the child's word and ends with what the child
// tells it, so that the command returns when the mount is usable, and with one line otherwise. The
// child returns; it leads a session of its own and has / as its directory. Threads, locks and the
// mount are all made after this: none of them survives a fork.
class Background {
 public:
  Background();
  // There is a mount on that directory, and its requests are about to be served: the parent ends with 0
  // when the first one has been answered, the child lets go of stdin, stdout and stderr.
  void ReportReady(const std::string& mountpoint);
  // The parent prints `line` and ends with `exit_status`.
  void ReportFailure(const std::string& line, int exit_status);

 private:
  UniqueFd pipe_;
};

}  // namespace ckptfs
