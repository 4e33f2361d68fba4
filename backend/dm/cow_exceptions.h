// The contents of a CoW file of dm-snapshot.
#pragma once

#include <cstdint>
#include <functional>

namespace ckptfs {

// A chunk that differs from the base's. Both numbers count chunks of kCowChunkSectors.
struct CowException {
  uint64_t base_chunk = 0;  // whose content it replaces
  uint64_t cow_chunk = 0;   // its position in the CoW file
};

// Calls `visit` for each chunk of the persistent exception store that begins at `offset` of the file. If the
// file is attached for writing, the last ones may be missing. Throws Error EUCLEAN if it is not such a store
// or has another chunk size. (Format: drivers/md/dm-snap-persistent.c in the kernel.)
void ForEachCowException(int fd, uint64_t offset,
                         const std::function<void(const CowException&)>& visit);

// If the kernel cannot write to a store, e.g. on a full disk, it marks the store "Invalid". Acknowledged data
// is intact all the same, since a chunk is entered only after its content has been written: this resets the
// mark. Returns whether it was set. Not for an attached file.
bool RevalidateCow(int fd, uint64_t offset);

}  // namespace ckptfs
