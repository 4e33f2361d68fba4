// Parts of FileTree that its source files share.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <memory>
#include <optional>

#include "backend/base/error.h"
#include "fs/file_tree.h"

namespace ckptfs {

class FileTree::Directory {
 public:
  Directory(const Node& node, int flags) {
    if (node.is_root && (flags & O_PATH) != 0) {
      fd_ = node.volume->root_fd();
      return;
    }
    own_ = node.volume->OpenInode(node.file, flags | O_DIRECTORY);
    fd_ = own_.get();
  }
  int fd() const noexcept { return fd_; }

 private:
  UniqueFd own_;
  int fd_ = -1;
};

struct FileTree::Change {
  // In this order: the pass is taken before the node is resolved and given back after it is gone.
  std::unique_ptr<Gate::Pass> pass;
  Node node;
};

}  // namespace ckptfs
