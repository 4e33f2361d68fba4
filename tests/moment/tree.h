// A directory tree as found on disk.
#pragma once

#include <sys/types.h>

#include <ctime>
#include <map>
#include <string>

namespace ckptfs::moment {

// What a name refers to, as far as the writers change it.
struct Entry {
  mode_t mode = 0;  // with the type
  nlink_t links = 0;
  std::string content;  // of a file, or the target of a symlink
  std::string xattr;
  time_t mtime_s = 0;
};

// By path relative to the tree's root; without the root.
using Tree = std::map<std::string, Entry>;

// Throws Error or std::filesystem::filesystem_error if something in it cannot be read.
Tree ReadTree(const std::string& directory);

}  // namespace ckptfs::moment
