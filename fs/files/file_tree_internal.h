// Parts of FileTree that its source files share.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "backend/base/error.h"
#include "fs/files/file_tree.h"

namespace ckptfs {

class FileTree::Directory {
 public:
  Directory(const FileTree& files, const Node& node) {
    if (node.is_root) {
      fd_ = node.volume->root_fd();
      return;
    }
    shared_ = files.nodes_.directory_fds.Open(node.volume, node.file);
    files.tidier_.Wake();
    fd_ = shared_->get();
  }
  int fd() const noexcept { return fd_; }

 private:
  std::shared_ptr<const UniqueFd> shared_;
  int fd_ = -1;
};

// A descriptor, perhaps only O_PATH, for reading a node's attributes: that of an open file, or a new one.
class FileTree::NodeFd {
 public:
  explicit NodeFd(UniqueFd own) : own_(std::move(own)) {}
  explicit NodeFd(std::shared_ptr<const UniqueFd> shared) : shared_(std::move(shared)) {}
  int get() const noexcept { return shared_ ? shared_->get() : own_.get(); }

 private:
  UniqueFd own_;
  std::shared_ptr<const UniqueFd> shared_;
};

class FileTree::Timeout {
 public:
  Timeout(const FileTree& files, bool in_writing)
      : files_(files), in_writing_(in_writing), ends_(files.open_.mapped.ends()) {}

  // For a node whose attributes have been read since construction.
  double Of(NodeId node) const {
    if (in_writing_) return 0;
    const bool may_change =
        files_.open_.files.HasWriters(node) || files_.open_.mapped.LookAgain(node);
    return may_change || files_.open_.mapped.ends() != ends_ ? 0 : kForeverSeconds;
  }

 private:
  const FileTree& files_;
  const bool in_writing_;
  const uint64_t ends_;
};

struct FileTree::MutationGuard {
  // In this order: the pass is taken before the node is resolved and released after the node is gone.
  std::unique_ptr<FreezeLock::Pass> pass;
  Node node;
};

}  // namespace ckptfs
