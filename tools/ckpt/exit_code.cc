#include "tools/ckpt/exit_code.h"

#include <cerrno>

namespace ckptfs::cli {

ExitCode ExitCodeOf(const Error& error) {
  switch (error.errno_value()) {
    case EINVAL:
    case ENAMETOOLONG:
      return kUsage;
    case ENOENT:
      return kNotFound;
    case EEXIST:
      return kExistsAlready;
    case EBUSY:
    case ETXTBSY:  // an active swap file
      return kBusy;
    case ENOSPC:
    case EDQUOT:
      return kNoSpace;
    default:
      return kFailed;
  }
}

}  // namespace ckptfs::cli
