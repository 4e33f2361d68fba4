// Opens the files of a store. The user who mounts a store need not have created it: it may come from
// somebody else, on a disk or in an archive, with anything where files should be.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "backend/base/unique_fd.h"

namespace ckptfs {

inline constexpr uint64_t kAnySize = std::numeric_limits<uint64_t>::max();

// Why the entry of that name is not a usable file: "it is a FIFO and no regular file", "it has N bytes, and
// ...". Empty if it is a regular file of at most `bytes_max` bytes, or does not exist. Opens nothing. Throws
// Error if that is unknown.
std::string StoreFileOddity(int directory_fd, const std::string& name,
                            uint64_t bytes_max = kAnySize);

// Opens a regular file in that very directory, and nothing else. The type is checked before anything is
// opened: opening a FIFO blocks, opening a device can have side effects (a watchdog, a tape), and a symbolic
// link leads out of the store. On failure not valid, with errno: ENOENT; EUCLEAN for another type, or for
// more than `bytes_max` bytes. `flags` are those of open(2), without O_CREAT and O_NOFOLLOW; O_CLOEXEC is
// added.
UniqueFd TryOpenStoreFile(int directory_fd, const std::string& name, int flags,
                          uint64_t bytes_max = kAnySize);

// The same, but throws Error; for EUCLEAN it says what the entry is, and asks to move it away.
UniqueFd OpenStoreFile(int directory_fd, const std::string& name, int flags,
                       const std::string& attempted, uint64_t bytes_max = kAnySize);

// Creates a new file, accessible only to root and open for reading and writing. It replaces the entry of that
// name (never the target of a symbolic link). On failure not valid, with errno: EISDIR for a directory.
UniqueFd ReplaceStoreFile(int directory_fd, const std::string& name);

// Opens a block device by its path, which may be a symbolic link, as in /dev/disk. ENOTBLK if it is anything
// else, which is not opened. On failure not valid, with errno.
UniqueFd TryOpenBlockDevice(const std::string& path, int flags);

}  // namespace ckptfs
