// How many descriptors the daemon may have, and who may take the last of them.
#pragma once

namespace ckptfs {

// Each file that programs have open costs the daemon a descriptor, and programs have as many as they
// like. The limit that the daemon was started with is one for ordinary programs: this raises it to the
// highest that the kernel has (fs.nr_open), if it may.
void RaiseDescriptorLimit() noexcept;

// The kernel gives out the lowest number that is free: a new descriptor's tells how many there are.

// Whether more than half of all that there may be are taken, where `fd` has just been opened: no more
// for what can do without.
bool DescriptorsHalfGone(int fd) noexcept;

// Whether `fd` is one of the last, which are for checkpoints, rollbacks and what a request needs for its
// own time: whoever wants to keep it has to give it back (ENFILE).
bool IsReservedDescriptor(int fd) noexcept;

}  // namespace ckptfs
