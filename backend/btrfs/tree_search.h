// Reading btrfs trees from user space.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace ckptfs {

// One item of a tree. `data` is the item as on disk (little-endian, unaligned) and is valid during the visit.
struct TreeItem {
  uint64_t objectid = 0;
  uint32_t type = 0;
  uint64_t offset = 0;
  std::span<const std::byte> data;
};

// The items of a tree whose objectid and type are in these ranges (bounds included).
struct TreeRange {
  uint64_t tree_id = 0;
  uint64_t min_objectid = 0;
  uint64_t max_objectid = UINT64_MAX;
  uint32_t min_type = 0;
  uint32_t max_type = UINT8_MAX;
  // Only leaves written in this transaction or later: they have everything that has changed since, and
  // unchanged items that share a leaf with it. Other leaves are not read.
  uint64_t min_transaction = 0;
};

// Calls `visit` with each item in tree order. `fd` is any file of the filesystem. Needs CAP_SYS_ADMIN.
// Concurrent changes may or may not be seen. `visit` may make system calls, even ones that change the tree:
// no lock is held. Throws Error, and exceptions of `visit`.
void SearchTree(int fd, const TreeRange& range, const std::function<void(const TreeItem&)>& visit);

}  // namespace ckptfs
