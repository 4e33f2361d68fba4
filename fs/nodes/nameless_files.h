// Files that have lost their last name while the kernel still knows them.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"
#include "fs/nodes/descriptor_shares.h"
#include "fs/nodes/node_id.h"

namespace ckptfs {

// A process may have its working directory removed, have an unlinked FIFO open, or be about to open a file
// that another process removes or replaces: the kernel has looked up the name and asks for the node next. (It
// looks up a stale node's name again, but only once: where names come and go fast, a second loss in a row
// would reach the program as ESTALE.) On a native filesystem the inode lives as long as it is referenced.
// Here a descriptor keeps the underlying inode alive, reachable by its number, until the kernel forgets the
// node, which it does as soon as nobody uses it. Measured: rm -r of 5,000 files takes 4% longer.
//
// Not for files that are open when they lose their name: UnlinkedFiles keeps those, if it can, since a
// checkpoint must contain them.
//
// Owned by a view, and destroyed with it. This bounds a leak: an unlink in flight during a rollback keeps a
// file of the new tree, which the kernel may never have looked up and so never forgets. Thread-safe.
class NamelessFiles {
 public:
  // The last name of a file.
  struct Place {
    FileId directory;
    std::string name;
  };

  // Without a descriptor, only `last` is kept.
  void Keep(NodeId node, UniqueFd fd, DescriptorClaim claim, Place last) {
    const std::lock_guard lock(mutex_);
    files_.insert_or_assign(node, File{std::move(fd), std::move(claim), std::move(last)});
    count_ = files_.size();
  }

  // Empty if the node is not kept here.
  std::optional<Place> Find(NodeId node) const {
    if (count_ == 0) return std::nullopt;
    const std::lock_guard lock(mutex_);
    const auto position = files_.find(node);
    if (position == files_.end()) return std::nullopt;
    return position->second.last;
  }

  // The kernel has forgotten the node. Costs nothing while no file is kept.
  void Forget(NodeId node) {
    if (count_ == 0) return;
    UniqueFd closed_last;  // after the lock is released: closing may delete the file
    const std::lock_guard lock(mutex_);
    const auto position = files_.find(node);
    if (position == files_.end()) return;
    closed_last = std::move(position->second.fd);
    files_.erase(position);
    count_ = files_.size();
  }

 private:
  struct File {
    UniqueFd fd;
    DescriptorClaim claim;  // charged to the user who removed the name
    Place last;
  };

  mutable std::mutex mutex_;
  std::unordered_map<NodeId, File> files_;
  std::atomic<size_t> count_{0};
};

}  // namespace ckptfs
