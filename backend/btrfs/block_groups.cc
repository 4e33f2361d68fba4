#include "backend/btrfs/block_groups.h"

#include <endian.h>
#include <linux/btrfs_tree.h>

#include <cstddef>
#include <cstring>

#include "backend/btrfs/tree_search.h"

namespace ckptfs {
namespace {

BlockGroup ParseChunk(const TreeItem& item) {
  btrfs_chunk chunk{};
  std::memcpy(&chunk, item.data.data(), sizeof(chunk));
  BlockGroup group{.logical = item.offset,
                   .length = le64toh(chunk.length),
                   .has_data = (le64toh(chunk.type) & BTRFS_BLOCK_GROUP_DATA) != 0};
  size_t at = offsetof(btrfs_chunk, stripe);
  for (int i = 0; i < le16toh(chunk.num_stripes); ++i, at += sizeof(btrfs_stripe)) {
    if (at + sizeof(btrfs_stripe) > item.data.size()) break;
    btrfs_stripe stripe{};
    std::memcpy(&stripe, item.data.data() + at, sizeof(stripe));
    group.places.push_back(le64toh(stripe.offset));
  }
  return group;
}

}  // namespace

std::vector<BlockGroup> ReadBlockGroups(int fd) {
  std::vector<BlockGroup> groups;
  const TreeRange chunks{.tree_id = BTRFS_CHUNK_TREE_OBJECTID,
                         .min_objectid = BTRFS_FIRST_CHUNK_TREE_OBJECTID,
                         .max_objectid = BTRFS_FIRST_CHUNK_TREE_OBJECTID,
                         .min_type = BTRFS_CHUNK_ITEM_KEY,
                         .max_type = BTRFS_CHUNK_ITEM_KEY};
  SearchTree(fd, chunks, [&groups](const TreeItem& item) {
    if (item.data.size() >= sizeof(btrfs_chunk)) groups.push_back(ParseChunk(item));
  });
  return groups;
}

}  // namespace ckptfs
