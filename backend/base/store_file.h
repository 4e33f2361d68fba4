// Opening the files of a store. Whoever mounts a store need not have made it: it may come on a disk, or in an
// archive, of somebody else, who put anything he likes where files should be.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "backend/base/unique_fd.h"

namespace ckptfs {

inline constexpr uint64_t kAnySize = std::numeric_limits<uint64_t>::max();

// Why what has that name in a directory is no file to be used: "it is a FIFO and no regular file", "it has N
// bytes, and ...". Empty if it is one, of at most `bytes_max` bytes, or if nothing is there. Opens nothing.
// Throws Error where that cannot be told.
std::string StoreFileOddity(int directory_fd, const std::string& name,
                            uint64_t bytes_max = kAnySize);

// Opens a regular file right in that directory, and nothing else: of what stands there nothing is opened
// before its kind is known, as an open of a FIFO waits, one of a device can be an act in itself (a watchdog,
// a tape), and a symbolic link leads out of the store. Not valid, with errno, where it fails: ENOENT; EUCLEAN
// for another kind, or for more than `bytes_max` bytes. `flags` are open(2)'s, without O_CREAT and O_NOFOLLOW;
// O_CLOEXEC is added.
UniqueFd TryOpenStoreFile(int directory_fd, const std::string& name, int flags,
                          uint64_t bytes_max = kAnySize);

// The same; throws Error, in which EUCLEAN says what it is and asks to move it away.
UniqueFd OpenStoreFile(int directory_fd, const std::string& name, int flags,
                       const std::string& attempted, uint64_t bytes_max = kAnySize);

// Makes a new file for root alone, open for reading and writing, in the place of what has the name, which is removed
// (never what a symbolic link leads to). Not valid, with errno, where it fails: EISDIR for a directory.
UniqueFd ReplaceStoreFile(int directory_fd, const std::string& name);

// Opens a block device by its path, which may be a symbolic link, as those in /dev/disk are. ENOTBLK where it
// is another thing, which is not opened. Not valid, with errno, where it fails.
UniqueFd TryOpenBlockDevice(const std::string& path, int flags);

}  // namespace ckptfs
