// The mount point.
#pragma once

#include <string>

namespace ckptfs {

// Verifies that `path` can be mounted on, and returns it as an absolute path without symlinks. First unmounts
// a dead ckptfs mount whose daemon was killed. Throws Error with the remedy if it is missing, not a directory
// or not empty, or if it is the store (`store_path`) or one of the two is inside the other.
std::string PrepareMountpoint(const std::string& path, const std::string& store_path);

}  // namespace ckptfs
