// The superblock of a btrfs image.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ckptfs {

struct BtrfsSuperblock {
  std::string fsid;   // canonical UUID
  std::string label;  // as in the image: any bytes
  uint64_t total_bytes = 0;
  uint64_t device_count = 0;
};

// The primary superblock (at 64 KiB) of an image or device. Empty if there is none: the file is too short, or
// has other contents. Throws Error if it cannot be read.
std::optional<BtrfsSuperblock> ReadSuperblock(int fd);

}  // namespace ckptfs
