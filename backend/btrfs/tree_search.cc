#include "backend/btrfs/tree_search.h"

#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>

#include <cstring>
#include <memory>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

// Room for the largest item (a node has at most 64 KiB). The kernel touches the whole buffer at each call, so
// a larger one would slow down small searches.
constexpr size_t kBufferBytes = size_t{68} * 1024;

// Moves the lower end of the search just past the last item seen.
// False at the end of the key space.
bool AdvancePast(const btrfs_ioctl_search_header& last, btrfs_ioctl_search_key* key) {
  key->min_objectid = last.objectid;
  key->min_type = last.type;
  key->min_offset = last.offset + 1;
  if (key->min_offset != 0) return true;
  if (++key->min_type <= UINT8_MAX) return true;
  key->min_type = 0;
  return ++key->min_objectid != 0;
}

}  // namespace

void SearchTree(int fd, const TreeRange& range, const std::function<void(const TreeItem&)>& visit) {
  // Not zeroed: that takes longer than most searches.
  const auto storage = std::make_unique_for_overwrite<uint64_t[]>(
      (sizeof(btrfs_ioctl_search_args_v2) + kBufferBytes) / sizeof(uint64_t));
  auto* args = reinterpret_cast<btrfs_ioctl_search_args_v2*>(storage.get());
  std::memset(args, 0, sizeof(*args));
  args->buf_size = kBufferBytes;
  btrfs_ioctl_search_key& key = args->key;
  key.tree_id = range.tree_id;
  key.min_objectid = range.min_objectid;
  key.max_objectid = range.max_objectid;
  key.min_type = range.min_type;
  key.max_type = range.max_type;
  key.max_offset = UINT64_MAX;
  key.min_transid = range.min_transaction;
  key.max_transid = UINT64_MAX;

  while (true) {
    key.nr_items = UINT32_MAX;
    CheckSyscall(ioctl(fd, BTRFS_IOC_TREE_SEARCH_V2, args), "search a btrfs tree");
    if (key.nr_items == 0) return;
    const auto* next = reinterpret_cast<const std::byte*>(args->buf);
    btrfs_ioctl_search_header header{};
    for (uint32_t i = 0; i < key.nr_items; ++i) {
      std::memcpy(&header, next, sizeof(header));
      next += sizeof(header);
      // The kernel compares whole keys: between two objectids it returns every type.
      if (header.type >= range.min_type && header.type <= range.max_type) {
        visit({header.objectid, header.type, header.offset, {next, header.len}});
      }
      next += header.len;
    }
    if (!AdvancePast(header, &key)) return;
  }
}

}  // namespace ckptfs
