// Files that may be mapped for writing although nobody has them open.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "fs/nodes/node_id.h"

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
    added_.push_back(node);
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
    for (auto i = nodes_.lower_bound(MakeNumber(slot, 0)); i != nodes_.end(); ++i) {
      if (SlotOf(i->first) != slot) break;
      found.push_back(i->first);
    }
    return found;
  }

  // For whoever looks again and again: what has been added since the last call, and up to `count` others in
  // the order of their ids, each in its turn.
  std::vector<NodeId> Next(size_t count) {
    const std::lock_guard lock(mutex_);
    std::vector<NodeId> next = std::exchange(added_, {});
    count = next.size() + std::min(count, nodes_.size());
    next.reserve(count);
    for (auto i = nodes_.upper_bound(turn_); next.size() < count; ++i) {
      if (i == nodes_.end()) i = nodes_.begin();
      turn_ = i->first;
      next.push_back(turn_);
    }
    return next;
  }

  bool empty() const noexcept { return count_ == 0; }

 private:
  mutable std::mutex mutex_;
  std::map<NodeId, uint64_t> nodes_;  // and their additions; a slot's stand together
  std::vector<NodeId> added_;         // since the last Next
  NodeId turn_ = 0;
  uint64_t additions_ = 0;
  std::atomic<size_t> count_{0};
  std::atomic<uint64_t> ends_{0};
};

}  // namespace ckptfs
