// A file's disk usage.
#pragma once

#include <cstdint>

namespace ckptfs {

struct FileUsage {
  uint64_t total_bytes = 0;      // blocks that it refers to, shared or not
  uint64_t exclusive_bytes = 0;  // those of them that no other file refers to
};

// For an open file. On a filesystem that shares no blocks, or does not report it, both are equal. Takes time
// proportional to the number of its extents. Throws Error.
FileUsage MeasureFile(int fd);

}  // namespace ckptfs
