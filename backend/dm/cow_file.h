// The files in which dm-snapshot stores a volume's changes to its base.
#pragma once

#include <cstdint>
#include <string>

#include "backend/base/unique_fd.h"
#include "backend/dm/device_mapper.h"

namespace ckptfs {

// For the table of a dm-snapshot device, in sectors: 4 KiB, a filesystem's block size, so that no block write
// makes the kernel copy the rest of a chunk.
inline constexpr uint64_t kCowChunkSectors = 8;
inline constexpr uint64_t kCowChunkBytes = kCowChunkSectors * kDmSectorBytes;

// The size in bytes at which a CoW file cannot overflow, for a base of that size: a header, every chunk of
// the base, and the tables of exceptions (kernel, drivers/md/dm-snap-persistent.c: after the header, each
// table chunk describes as many chunks as it has 16-byte entries). The file is sparse and takes only what is
// written.
uint64_t CowFileBytes(uint64_t base_bytes);

// Creates an empty CoW file of that size in that directory. For the kernel, a file of zeros is a snapshot
// without changes. Throws Error: EEXIST, ENOSPC.
UniqueFd MakeCowFile(int directory_fd, const std::string& name, uint64_t bytes);

}  // namespace ckptfs
