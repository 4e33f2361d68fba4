// Copies of files that are open, while everybody waits.
#pragma once

#include <chrono>
#include <string>

#include "backend/base/unique_fd.h"

namespace ckptfs {

using Deadline = std::chrono::steady_clock::time_point;

// Throws ETIMEDOUT after `end`.
void RequireTime(Deadline end, const std::string& path);

// Makes the file `name` in that directory, with the content and the attributes of the open file: by
// reference where the filesystem can. ETIMEDOUT at `end`, and then, as after any Error, perhaps a part of
// it is there. `path` is for the errors. Nobody may write to the file meanwhile. Any thread.
UniqueFd CopyOpenFile(int file_fd, int directory_fd, const std::string& name,
                      const std::string& path, Deadline end);

}  // namespace ckptfs
