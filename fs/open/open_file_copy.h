// Copies open files while changes are blocked.
#pragma once

#include <chrono>
#include <string>

#include "backend/base/unique_fd.h"

namespace ckptfs {

using Deadline = std::chrono::steady_clock::time_point;

// Throws ETIMEDOUT after `end`.
void RequireTime(Deadline end, const std::string& path);

// Creates `name` in that directory with the content and attributes of the open file, by reflink where the
// filesystem can. Throws ETIMEDOUT at `end`; after that or any other Error a partial copy may exist. `path`
// is for error messages. The file must not be written to meanwhile. Thread-safe.
UniqueFd CopyOpenFile(int file_fd, int directory_fd, const std::string& name,
                      const std::string& path, Deadline end);

}  // namespace ckptfs
