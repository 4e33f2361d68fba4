// Putting a symlink in a directory's place, with never a moment without the name.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "backend/base/unique_fd.h"

namespace ckptfs::cli {

using FileTime = std::pair<int64_t, uint32_t>;  // seconds and nanoseconds

// A directory by its name in the directory above it, so that it can be replaced there.
class ReplaceableDirectory {
 public:
  // Finds the directory that `path` leads to, symlinks followed. Throws Error: ENOENT, ENOTDIR,
  // EINVAL for "/", EBUSY for a mount point, and what stands against replacing it: no right to
  // write above it, a filesystem that cannot exchange two names (both tried out with names of its
  // own, that are gone on return).
  explicit ReplaceableDirectory(const std::string& path);

  int fd() const noexcept { return directory_.get(); }        // open for reading
  const std::string& path() const noexcept { return path_; }  // absolute, without symlinks
  const std::string& name() const noexcept { return name_; }

  // Makes the name a symlink to `target`, and the directory keep on as the name returned, a new
  // one beside it. Atomic: each name is the one or the other at any time, after a crash too. Before
  // a crash there may be a symlink under the new name and nothing else. Durable on return.
  // Throws Error ESTALE, having changed nothing, if the name is another directory's by now.
  std::string ReplaceBySymlink(const std::string& target);

  // Removes what ReplaceBySymlink put beside, with everything in it. Throws Error EBUSY, having removed
  // nothing, if anything in it has changed since this was constructed: a program that has a file of it open
  // goes on writing there.
  void RemoveKept(const std::string& kept_name);

  std::string PathBeside(const std::string& other_name) const;

 private:
  void TryExchange();
  std::string MakeLinkBeside(const std::string& target) const;
  bool IsThisDirectory(const std::string& name_beside) const;

  std::string path_;
  std::string name_;
  UniqueFd parent_;
  UniqueFd directory_;
  FileTime begin_;  // by the clock of its filesystem
};

// `name` cut, at a character, so that it has room for `suffix` in a name of a file, and `suffix`.
std::string WithSuffix(const std::string& name, const std::string& suffix);

}  // namespace ckptfs::cli
