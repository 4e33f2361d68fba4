// Which files the kernel may read through its own page cache.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fs/nodes/node_id.h"

namespace ckptfs {

// Remembers, in a fixed amount of memory, recently read small files whose pages in the kernel's cache are not
// stale. A file that is evicted is merely checked again at its next open.
//
// One of several shards; a node's shard is `(node ^ slot) % shards`. Requires external locking.
class SmallFiles {
 public:
  explicit SmallFiles(size_t shards) : shards_(shards) {}

  bool Contains(NodeId node) const noexcept {
    if (sets_.empty()) return false;
    for (const NodeId way : sets_[SetOf(node)]) {
      if (way == node) return true;
    }
    return false;
  }

  void Add(NodeId node) {
    if (Contains(node)) return;
    if (sets_.empty()) sets_.resize(kSetsInAll / shards_);
    Set& set = sets_[SetOf(node)];
    for (NodeId& way : set) {
      if (way != 0) continue;
      way = node;
      return;
    }
    set[turn_++ % kWays] = node;
  }

  // Forgets everything periodically, so that some reads reach the underlying file and can update its access
  // time: relatime requires one a day.
  void DropOld(int64_t now_s) noexcept {
    if (now_s < drop_at_s_) return;
    if (drop_at_s_ != 0) sets_.assign(sets_.size(), Set{});  // at the first call nothing is old yet
    drop_at_s_ = now_s + kKeptSeconds;
  }

  void Remove(NodeId node) noexcept {
    if (sets_.empty()) return;
    for (NodeId& way : sets_[SetOf(node)]) {
      if (way == node) way = 0;
    }
  }

 private:
  static constexpr int64_t kKeptSeconds = 3600;

  // 512 KiB in all shards.
  static constexpr size_t kSetsInAll = 1 << 14;
  static constexpr size_t kWays = 4;
  using Set = std::array<NodeId, kWays>;

  // Neighbours in a directory have consecutive numbers, and so consecutive sets.
  size_t SetOf(NodeId node) const noexcept {
    return (node ^ SlotOf(node)) / shards_ % sets_.size();
  }

  const size_t shards_;
  std::vector<Set> sets_;  // empty until the first Add
  uint32_t turn_ = 0;
  int64_t drop_at_s_ = 0;
};

}  // namespace ckptfs
