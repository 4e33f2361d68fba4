// The directory to mount on.
#pragma once

#include <string>

namespace ckptfs {

// Makes sure that `path` can be mounted on, and returns it as an absolute path without symlinks. A
// dead mount of this filesystem, whose daemon was killed, is cleared first. Throws Error with what
// to do if it is missing, no directory, not empty or the store itself (`store_path`).
std::string PrepareMountpoint(const std::string& path, const std::string& store_path);

// True if process `pid` sees a live ckptfs mount whose source is `source`. Used to tell a daemon
// that is serving from one that is on its way out.
bool HasMountOf(int pid, const std::string& source);

}  // namespace ckptfs
