// The files in which dm-snapshot keeps what a volume has changed of its base.
#pragma once

#include <cstdint>
#include <string>

#include "backend/base/unique_fd.h"
#include "backend/dm/device_mapper.h"

namespace ckptfs {

// Of the table of a dm-snapshot device, in sectors: 4 KiB, as a filesystem's block, so that no write of
// one makes the kernel copy the rest of a chunk.
inline constexpr uint64_t kCowChunkSectors = 8;
inline constexpr uint64_t kCowChunkBytes = kCowChunkSectors * kDmSectorBytes;

// The size at which a CoW file of a base that large cannot overflow, in bytes: a header, every chunk of
// the base, and the tables of exceptions (kernel, drivers/md/dm-snap-persistent.c: after the header each
// chunk of a table describes as many chunks as entries of 16 bytes fit into it). It is sparse and takes
// up what is written.
uint64_t CowFileBytes(uint64_t base_bytes);

// A new, empty CoW file in that directory, of that size. To the kernel a file of zeros is a snapshot
// without a change. Throws Error: EEXIST, ENOSPC.
UniqueFd MakeCowFile(int directory_fd, const std::string& name, uint64_t bytes);

}  // namespace ckptfs
