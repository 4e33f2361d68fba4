// Files that may be mapped for writing although nobody has them open.
#pragma once

#include <atomic>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "fs/node_id.h"

namespace ckptfs {

// A mapping of a file that passes through holds the backing file, not the file of the mount: the
// kernel sends RELEASE at close(2) although stores through the mapping go on, and go on changing
// the file's mtime behind the kernel's cache. So every file that was open for writing is remembered
// here at its last release, as one that may be mapped. Whether it is costs more than the rest of a
// release (FileTree::IsOpenUnderneath), and is looked at when it matters or, soon after, by the
// mount's tidier, until it is not.
//
// Owned by the mount. Any thread may call anything.
class MappedFiles {
 public:
  void Add(NodeId node) {
    const std::lock_guard lock(mutex_);
    nodes_.insert(node);
    count_ = nodes_.size();
  }

  void Remove(NodeId node) {
    if (count_ == 0) return;
    const std::lock_guard lock(mutex_);
    ends_ += nodes_.erase(node);
    count_ = nodes_.size();
  }

  // How many have been removed so far: what was read of a file before it was is perhaps not final.
  uint64_t ends() const noexcept { return ends_; }

  // Costs nothing as long as there are none.
  bool Contains(NodeId node) const {
    if (count_ == 0) return false;
    const std::lock_guard lock(mutex_);
    return nodes_.contains(node);
  }

  std::vector<NodeId> OfSlot(Slot slot) const {
    std::vector<NodeId> found;
    const std::lock_guard lock(mutex_);
    for (const NodeId node : nodes_) {
      if (SlotOf(node) == slot) found.push_back(node);
    }
    return found;
  }

  std::vector<NodeId> All() const {
    const std::lock_guard lock(mutex_);
    return {nodes_.begin(), nodes_.end()};
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_set<NodeId> nodes_;
  std::atomic<size_t> count_{0};
  std::atomic<uint64_t> ends_{0};
};

}  // namespace ckptfs
