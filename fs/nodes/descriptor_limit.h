// How many descriptors the daemon may have, and who may use the last of them.
#pragma once

#include <cstdint>

namespace ckptfs {

// Each file that programs have open costs the daemon a descriptor, and programs may open any number. The
// limit inherited at start is meant for ordinary programs. This raises it to the kernel's maximum
// (fs.nr_open) if permitted.
void RaiseDescriptorLimit() noexcept;

// How many of them are for files that programs have open. The rest is for checkpoints, rollbacks and the
// temporary needs of requests.
uint64_t DescriptorsForPrograms() noexcept;

// Whether `fd`, which was just opened, is in that reserve: the kernel hands out the lowest free number. A
// caller that wants to keep such a descriptor must close it (ENFILE).
bool IsReservedDescriptor(int fd) noexcept;

}  // namespace ckptfs
