// A walk over a directory tree of any depth with a bounded number of descriptors.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {

// The chain of directories from a root down to the current position of a walk. Only the lowest kMaxOpen have
// a descriptor. A higher one is reopened through ".." when the walk returns to it, and must then still be the
// same directory. Used by one thread.
class DirectoryStack {
 public:
  static constexpr size_t kMaxOpen = 32;

  // Descends into the directory `fd` (opened for reading, not O_PATH).
  void Push(UniqueFd fd);
  // Goes up. Throws Error ESTALE if the directory that is left has been moved elsewhere.
  void Pop();

  int top() const noexcept { return levels_.back().fd.get(); }
  size_t depth() const noexcept { return levels_.size(); }

 private:
  struct Level {
    UniqueFd fd;
    dev_t device = 0;
    ino_t inode = 0;
  };
  std::vector<Level> levels_;
};

// One file or directory on a walk.
struct TreeEntry {
  const std::string& path;  // relative to the root of the walk; empty for the root itself
  const std::string& name;  // in its parent; empty for the root itself
  const struct statx& info;
  int parent_fd;  // -1 for the root itself
};

// The callbacks of a walk. An exception from one ends the walk.
class TreeVisitor {
 public:
  virtual ~TreeVisitor() = default;
  // Before a directory's contents; first of all for the root. `directory_fd` is open for reading.
  virtual void Enter(const TreeEntry& entry, int directory_fd) = 0;
  // Anything but a directory.
  virtual void Visit(const TreeEntry& entry) = 0;
  // A nested subvolume or a mount point (which can be a file): the walk does not enter it.
  virtual void Nested(const TreeEntry& entry) = 0;
  // After a directory's contents, with the directory still open.
  virtual void Leave(const TreeEntry& entry, int directory_fd) = 0;
  // After Leave, with the directory closed; not for the root.
  virtual void Left(const TreeEntry& /*entry*/) {}
};

// Walks over everything below `root_fd`, depth first. Symlinks are not followed, and access times are
// preserved where the kernel allows it. Throws Error, with the relative path, if something cannot be read or
// vanishes meanwhile.
void WalkTree(int root_fd, TreeVisitor& visitor);

// openat2(2) of one name that must be in that very directory, not a symlink, and on the same mount. O_CLOEXEC
// is implied; when reading, O_NOATIME is used where the kernel allows it. `path` is for errors.
UniqueFd OpenEntry(int parent_fd, const std::string& name, int flags, std::string_view path);

// statx(2) of `name` in `parent_fd`, or of `parent_fd` itself if `name` is ""; symlinks are not followed.
// Throws Error.
struct statx StatEntry(int parent_fd, const std::string& name, std::string_view path);

dev_t DeviceOf(const struct statx& info);

// A path formatted for an error: "." for the root, else as by PlainText.
std::string Printable(std::string_view path);

// CheckSyscall for "`attempted` `path`"; the text is built only if the call has failed, since there are about
// ten calls per file.
template <typename Result>
Result CheckOn(std::string_view path, const char* attempted, Result result) {
  if (result < 0) ThrowErrno(attempted + (" " + Printable(path)));
  return result;
}

}  // namespace ckptfs
