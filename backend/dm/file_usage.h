// What a file takes on disk.
#pragma once

#include <cstdint>

namespace ckptfs {

struct FileUsage {
  uint64_t total_bytes = 0;      // blocks that it refers to, shared or not
  uint64_t exclusive_bytes = 0;  // of these, those that no other file refers to
};

// Of an open file. On a filesystem that shares no blocks, or does not tell, both are equal. Takes time
// proportional to the number of its extents. Throws Error.
FileUsage MeasureFile(int fd);

}  // namespace ckptfs
