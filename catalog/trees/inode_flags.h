// What chattr(1) sets.
#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace ckptfs {

// Of a file's flags (ioctl_iflags(2)) those that a copy can have: not those that tell how its filesystem stores
// it.
struct InodeFlags {
  uint32_t others = 0;
  uint32_t protecting = 0;  // immutable, append-only: nothing else can be changed with one of these
};

// Of a regular file or directory that is open for reading. None if its filesystem has none.
InodeFlags ReadInodeFlags(int fd);
// False if the filesystem does not take one of them (the others are set), or the caller may not set them.
bool AddInodeFlags(int fd, uint32_t flags);

bool IsProtected(const struct statx& info);
// Does nothing if the caller may not.
void RemoveProtection(int fd);

}  // namespace ckptfs
