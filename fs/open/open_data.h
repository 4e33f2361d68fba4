// Opening a regular file of a volume for its data.
#pragma once

#include <fcntl.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// `flags` as open(2) has them. Throws Error. Any thread.
inline UniqueFd OpenData(const Volume& volume, FileId file, int flags) {
  // Never a FIFO or a device: the kernel serves those itself, and opening one could block.
  const int all_flags = flags | O_NOFOLLOW | O_NOCTTY;
  try {
    return volume.OpenInode(file, all_flags | O_NONBLOCK);
  } catch (const Error& error) {
    if (error.errno_value() != EAGAIN) throw;
  }
  // A regular file, with the lease that MappedFiles takes: it is given back in a moment.
  return volume.OpenInode(file, all_flags);
}

}  // namespace ckptfs
