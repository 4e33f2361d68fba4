// Replaces a directory by a symlink, atomically.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "backend/base/unique_fd.h"

namespace ckptfs::cli {

using FileTime = std::pair<int64_t, uint32_t>;  // seconds and nanoseconds

// A directory, with its parent and its name there, so that it can be replaced.
class ReplaceableDirectory {
 public:
  // Finds the directory that `path` leads to, following symlinks. Throws Error: ENOENT, ENOTDIR, EINVAL for
  // "/", EBUSY for a mount point, and the reason if it cannot be replaced: no permission to write to the
  // parent, or a filesystem that cannot exchange two names (both are tested with temporary names, which are
  // gone on return).
  explicit ReplaceableDirectory(const std::string& path);

  int fd() const noexcept { return directory_.get(); }        // open for reading
  const std::string& path() const noexcept { return path_; }  // absolute, without symlinks
  const std::string& name() const noexcept { return name_; }

  // Makes the name a symlink to `target`, and renames the directory to a new name beside it, which is
  // returned. Atomic: each name always refers to one or the other, even after a crash. A crash before that
  // may leave only a symlink under the new name. Durable on return. Throws Error ESTALE, without any change,
  // if the name now belongs to another directory.
  std::string ReplaceBySymlink(const std::string& target);

  // Removes what ReplaceBySymlink renamed, with all its contents. Throws Error EBUSY, having removed nothing,
  // if anything in it has changed since this object was constructed: a program with an open file goes on
  // writing there.
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

// `name`, cut at a character boundary so that `suffix` fits into a file name, followed by `suffix`.
std::string WithSuffix(const std::string& name, const std::string& suffix);

}  // namespace ckptfs::cli
