// Reading btrfs trees from user space.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace ckptfs {

// One item of a tree. `data` is the item as on disk (little-endian, unaligned) and lives as long as
// the visit.
struct TreeItem {
  uint64_t objectid = 0;
  uint32_t type = 0;
  uint64_t offset = 0;
  std::span<const std::byte> data;
};

// Which items: those of a tree with both objectid and type in these ranges (ends included).
struct TreeRange {
  uint64_t tree_id = 0;
  uint64_t min_objectid = 0;
  uint64_t max_objectid = UINT64_MAX;
  uint32_t min_type = 0;
  uint32_t max_type = UINT8_MAX;
  // Only what stands in leaves that were written in this transaction or later: all that has changed since,
  // and what happens to stand beside it. The other leaves are not read.
  uint64_t min_transaction = 0;
};

// Calls `visit` with each item in the order of the tree. `fd` is any file of the filesystem. Needs
// CAP_SYS_ADMIN. What changes meanwhile may be seen or not. `visit` may make system calls, also
// such as change the tree: no lock is held. Throws Error, and what `visit` throws.
void SearchTree(int fd, const TreeRange& range, const std::function<void(const TreeItem&)>& visit);

}  // namespace ckptfs
