// Which files the kernel is to read through its own page cache.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "fs/nodes/node_id.h"

namespace ckptfs {

// Remembers, in a fixed amount of memory, small files that were opened for reading not long ago, and of
// whose content the kernel has nothing that is out of date. A file that falls out is looked at anew at
// its next open, no more.
//
// Any thread may call anything; whoever changes what is remembered of a node holds a lock of that
// node's (OpenFiles).
class SmallFiles {
 public:
  bool Contains(NodeId node) const noexcept {
    for (const std::atomic<NodeId>& way : SetOf(node)) {
      if (way.load(std::memory_order_relaxed) == node) return true;
    }
    return false;
  }

  void Add(NodeId node) noexcept {
    if (Contains(node)) return;
    Set& set = SetOf(node);
    for (std::atomic<NodeId>& way : set) {
      NodeId empty = 0;
      if (way.compare_exchange_strong(empty, node, std::memory_order_relaxed)) return;
    }
    set[turn_.fetch_add(1, std::memory_order_relaxed) % kWays].store(node,
                                                                     std::memory_order_relaxed);
  }

  // Forgets all once in a while, so that of each there is a read that comes to the file underneath and can
  // change its access time: relatime wants one a day. Needs no lock: what is forgotten is read anew.
  void DropOld(int64_t now_s) noexcept {
    int64_t due = drop_at_s_.load(std::memory_order_relaxed);
    if (now_s < due ||
        !drop_at_s_.compare_exchange_strong(due, now_s + kKeptSeconds, std::memory_order_relaxed)) {
      return;
    }
    if (due == 0) return;  // nothing is old yet
    for (Set& set : *sets_) {
      for (std::atomic<NodeId>& way : set) {
        if (way.load(std::memory_order_relaxed) != 0) way.store(0, std::memory_order_relaxed);
      }
    }
  }

  void Remove(NodeId node) noexcept {
    for (std::atomic<NodeId>& way : SetOf(node)) {
      NodeId expected = node;
      way.compare_exchange_strong(expected, 0, std::memory_order_relaxed);
    }
  }

 private:
  static constexpr int64_t kKeptSeconds = 3600;

  // 512 KiB in all, of which only what is used becomes resident.
  static constexpr size_t kSets = 1 << 14;
  static constexpr size_t kWays = 4;
  using Set = std::array<std::atomic<NodeId>, kWays>;

  // Neighbours in a directory have numbers in a row, and so sets in a row.
  Set& SetOf(NodeId node) noexcept { return (*sets_)[(node ^ SlotOf(node)) % kSets]; }
  const Set& SetOf(NodeId node) const noexcept { return (*sets_)[(node ^ SlotOf(node)) % kSets]; }

  std::unique_ptr<std::array<Set, kSets>> sets_ = std::make_unique<std::array<Set, kSets>>();
  std::atomic<uint32_t> turn_{0};
  std::atomic<int64_t> drop_at_s_{0};
};

}  // namespace ckptfs
