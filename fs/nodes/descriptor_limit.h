// How many descriptors the daemon may have, and who may take the last of them.
#pragma once

#include <cstdint>

namespace ckptfs {

// Each file that programs have open costs the daemon a descriptor, and programs have as many as they
// like. The limit that the daemon was started with is one for ordinary programs: this raises it to the
// highest that the kernel has (fs.nr_open), if it may.
void RaiseDescriptorLimit() noexcept;

// How many of them are for what programs have open. The rest is for checkpoints, rollbacks and what a request
// needs for its own time.
uint64_t DescriptorsForPrograms() noexcept;

// Whether `fd`, which has just been opened, is one of that rest: the kernel gives out the lowest number that
// is free. Whoever wants to keep it has to give it back (ENFILE).
bool IsReservedDescriptor(int fd) noexcept;

}  // namespace ckptfs
