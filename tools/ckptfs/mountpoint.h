// The directory to mount on.
#pragma once

#include <string>

namespace ckptfs {

// Makes sure that `path` can be mounted on, and returns it as an absolute path without symlinks. A
// dead mount of this filesystem, whose daemon was killed, is cleared first. Throws Error with what
// to do if it is missing, no directory, not empty, or the store (`store_path`) or one of the two in the other.
std::string PrepareMountpoint(const std::string& path, const std::string& store_path);

}  // namespace ckptfs
