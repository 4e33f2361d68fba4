// The exit status of `ckpt`.
#pragma once

#include "backend/base/error.h"

namespace ckptfs::cli {

// Public: scripts depend on these values.
enum ExitCode {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kNotFound = 3,
  kExistsAlready = 4,
  kBusy = 5,
  kNoSpace = 6,
};

ExitCode ExitCodeOf(const Error& error);

}  // namespace ckptfs::cli
