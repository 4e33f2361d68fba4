// Opens a regular file of a volume for its data.
#pragma once

#include <fcntl.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// `flags` as in open(2). Throws Error. Thread-safe.
inline UniqueFd OpenData(const Volume& volume, FileId file, int flags) {
  // Never a FIFO or a device: the kernel serves those itself, and opening one could block.
  const int all_flags = flags | O_NOFOLLOW | O_NOCTTY;
  try {
    return volume.OpenInode(file, all_flags | O_NONBLOCK);
  } catch (const Error& error) {
    if (error.errno_value() != EAGAIN) throw;
  }
  // Waits for the lease that MappedFiles takes on a regular file, which is released in a moment.
  return volume.OpenInode(file, all_flags);
}

}  // namespace ckptfs
