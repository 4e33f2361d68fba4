// What is in a CoW file of dm-snapshot.
#pragma once

#include <cstdint>
#include <functional>

namespace ckptfs {

// One chunk that differs from the base's, both counted in chunks of kCowChunkSectors.
struct CowException {
  uint64_t base_chunk = 0;  // whose content it replaces
  uint64_t cow_chunk = 0;   // where in the CoW file it lies
};

// Calls `visit` for each chunk of the persistent exception store that begins at `offset` of the file. Of a
// file that is attached for writing the last ones may be missing. Throws Error EUCLEAN for what is no such
// store or has another size of chunks. (Format: drivers/md/dm-snap-persistent.c in the kernel.)
void ForEachCowException(int fd, uint64_t offset,
                         const std::function<void(const CowException&)>& visit);

// The kernel gives a store up ("Invalid") when it cannot write to it, as on a full disk, and says so in
// the store. What was acknowledged is whole all the same, since a chunk is entered only after its content
// was written: this takes the verdict back. Returns whether there was one. Not of an attached file.
bool RevalidateCow(int fd, uint64_t offset);

}  // namespace ckptfs
