#include "catalog/trees/tree_walk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/open_beneath.h"
#include "backend/base/text.h"
#include "catalog/trees/names.h"

namespace ckptfs {
namespace {

// The names in a directory, ordered by inode number: filesystems with inode tables are then read sequentially
// instead of at random.
std::vector<std::string> ListNames(int directory_fd, std::string_view path) {
  // Opened anew: the offset of `directory_fd` belongs to the caller.
  UniqueFd fd = OpenEntry(directory_fd, ".", O_RDONLY | O_DIRECTORY, path);
  std::vector<std::pair<ino_t, std::string>> found;
  ForEachEntry(std::move(fd), "read directory " + Printable(path), [&found](const dirent& entry) {
    found.emplace_back(entry.d_ino, entry.d_name);
    return true;
  });
  std::sort(found.begin(), found.end());
  std::vector<std::string> names;
  names.reserve(found.size());
  for (auto& [inode, name] : found) names.push_back(std::move(name));
  return names;
}

class Walk {
 public:
  explicit Walk(TreeVisitor& visitor) : visitor_(visitor) {}

  void Run(int root_fd) {
    UniqueFd root = OpenEntry(root_fd, ".", O_RDONLY | O_DIRECTORY, "");
    const struct statx info = StatEntry(root.get(), "", "");
    device_ = DeviceOf(info);
    mount_ = MountOf(info);
    EnterDirectory("", info, std::move(root));
    while (!frames_.empty()) Step();
  }

 private:
  struct Frame {
    std::string name;
    struct statx info {};
    std::vector<std::string> entries;
    size_t next = 0;
    size_t path_bytes = 0;  // of path_, while the walk is in this directory
  };

  static uint64_t MountOf(const struct statx& info) {
    return (info.stx_mask & STATX_MNT_ID) != 0 ? info.stx_mnt_id : 0;
  }

  void EnterDirectory(std::string name, const struct statx& info, UniqueFd fd) {
    const int parent_fd = frames_.empty() ? -1 : stack_.top();
    visitor_.Enter({path_, name, info, parent_fd}, fd.get());
    Frame frame;
    frame.entries = ListNames(fd.get(), path_);
    frame.name = std::move(name);
    frame.info = info;
    frame.path_bytes = path_.size();
    frames_.push_back(std::move(frame));
    stack_.Push(std::move(fd));
  }

  void LeaveDirectory() {
    const Frame frame = std::move(frames_.back());
    frames_.pop_back();
    path_.resize(frame.path_bytes);
    visitor_.Leave({path_, frame.name, frame.info, -1}, stack_.top());
    stack_.Pop();
    if (!frames_.empty()) visitor_.Left({path_, frame.name, frame.info, stack_.top()});
  }

  void Step() {
    Frame& frame = frames_.back();
    path_.resize(frame.path_bytes);
    if (frame.next == frame.entries.size()) return LeaveDirectory();
    std::string name = std::move(frame.entries[frame.next++]);
    if (!path_.empty()) path_ += '/';
    path_ += name;
    const struct statx info = StatEntry(stack_.top(), name, path_);
    const TreeEntry entry{path_, name, info, stack_.top()};
    if (DeviceOf(info) != device_ || MountOf(info) != mount_) {
      visitor_.Nested(entry);
    } else if (S_ISDIR(info.stx_mode)) {
      UniqueFd fd = OpenEntry(stack_.top(), name, O_RDONLY | O_DIRECTORY, path_);
      EnterDirectory(std::move(name), info, std::move(fd));
    } else {
      visitor_.Visit(entry);
    }
  }

  TreeVisitor& visitor_;
  DirectoryStack stack_;
  std::vector<Frame> frames_;
  std::string path_;
  dev_t device_ = 0;
  uint64_t mount_ = 0;
};

}  // namespace

void DirectoryStack::Push(UniqueFd fd) {
  struct stat info {};
  CheckSyscall(fstat(fd.get(), &info), "look at a directory");
  levels_.push_back({std::move(fd), info.st_dev, info.st_ino});
  if (levels_.size() > kMaxOpen) levels_[levels_.size() - 1 - kMaxOpen].fd.Reset();
}

void DirectoryStack::Pop() {
  const UniqueFd child = std::move(levels_.back().fd);
  levels_.pop_back();
  if (levels_.empty() || levels_.back().fd.valid()) return;
  Level& level = levels_.back();
  UniqueFd fd(openat(child.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) ThrowErrno("go back up from a directory");
  struct stat info {};
  CheckSyscall(fstat(fd.get(), &info), "look at a directory");
  if (info.st_dev != level.device || info.st_ino != level.inode) {
    throw Error(ESTALE, "go back up from a directory", "it was moved meanwhile");
  }
  level.fd = std::move(fd);
}

void WalkTree(int root_fd, TreeVisitor& visitor) { Walk(visitor).Run(root_fd); }

UniqueFd OpenEntry(int parent_fd, const std::string& name, int flags, std::string_view path) {
  const auto open_here = [&](int all_flags) {
    return OpenBeneath(parent_fd, name.c_str(), all_flags, 0, MountPoints::kRefuse);
  };
  UniqueFd fd;
  if ((flags & O_PATH) == 0) fd = open_here(flags | O_NOATIME);
  // EPERM: O_NOATIME is only for the owner and root.
  if (!fd.valid() && ((flags & O_PATH) != 0 || errno == EPERM)) fd = open_here(flags);
  if (!fd.valid()) ThrowErrno("open " + Printable(path));
  return fd;
}

struct statx StatEntry(int parent_fd, const std::string& name, std::string_view path) {
  struct statx info {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name.empty() ? AT_EMPTY_PATH : 0);
  CheckOn(path, "look at",
          statx(parent_fd, name.c_str(), flags, STATX_BASIC_STATS | STATX_MNT_ID, &info));
  return info;
}

dev_t DeviceOf(const struct statx& info) { return makedev(info.stx_dev_major, info.stx_dev_minor); }

std::string Printable(std::string_view path) { return path.empty() ? "." : PlainText(path); }

}  // namespace ckptfs
