// Files that may be mapped for writing although nobody has them open.
#pragma once

#include <atomic>
#include <mutex>
#include <unordered_map>
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
    nodes_[node] = ++additions_;
    count_ = nodes_.size();
  }

  // Takes out a file that was found not to be mapped since `addition` (Find), unless it has been added
  // anew meanwhile: then that was found of an earlier open.
  void Remove(NodeId node, uint64_t addition) {
    const std::lock_guard lock(mutex_);
    const auto position = nodes_.find(node);
    if (position == nodes_.end() || position->second != addition) return;
    nodes_.erase(position);
    ++ends_;
    count_ = nodes_.size();
  }

  // How many have been removed so far: what was read of a file before it was is perhaps not final.
  uint64_t ends() const noexcept { return ends_; }

  // The number of the addition; 0: it is not here. Costs nothing as long as there are none.
  uint64_t Find(NodeId node) const {
    if (count_ == 0) return 0;
    const std::lock_guard lock(mutex_);
    const auto position = nodes_.find(node);
    return position == nodes_.end() ? 0 : position->second;
  }

  std::vector<NodeId> OfSlot(Slot slot) const {
    std::vector<NodeId> found;
    const std::lock_guard lock(mutex_);
    for (const auto& [node, addition] : nodes_) {
      if (SlotOf(node) == slot) found.push_back(node);
    }
    return found;
  }

  std::vector<NodeId> All() const {
    std::vector<NodeId> all;
    const std::lock_guard lock(mutex_);
    all.reserve(nodes_.size());
    for (const auto& [node, addition] : nodes_) all.push_back(node);
    return all;
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<NodeId, uint64_t> nodes_;  // and their additions
  uint64_t additions_ = 0;
  std::atomic<size_t> count_{0};
  std::atomic<uint64_t> ends_{0};
};

}  // namespace ckptfs
