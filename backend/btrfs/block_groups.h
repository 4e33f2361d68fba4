// Where btrfs stores data and metadata on its device.
#pragma once

#include <cstdint>
#include <vector>

namespace ckptfs {

struct BlockGroup {
  uint64_t logical = 0;
  uint64_t length = 0;
  bool has_data = false;
  std::vector<uint64_t> places;  // device offsets of its copies
};

// For a filesystem with one device. `fd` is any file of it. Needs CAP_SYS_ADMIN. Throws Error.
std::vector<BlockGroup> ReadBlockGroups(int fd);

}  // namespace ckptfs
