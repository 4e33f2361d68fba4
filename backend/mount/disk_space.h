// Free space of a disk, and how much of it is kept free.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace ckptfs {

// In bytes. A filesystem without a limit, e.g. some tmpfs, has a total of 0.
struct DiskSpace {
  uint64_t total = 0;
  uint64_t used = 0;
  uint64_t free = 0;  // available for writing, without reserved blocks
};

// For the filesystem of an open file or directory. Throws Error.
DiskSpace ReadDiskSpace(int fd);

// Whether the filesystem of an open file or directory, or the mount that it was opened in, is read-only.
bool IsOnReadOnly(int fd) noexcept;

// The default limit for a store's share of its disk: 30 GiB, or 40% if that is less.
uint64_t DefaultStoreBytes(const DiskSpace& disk);

// The disk space that a file uses, without holes.
uint64_t AllocatedBytes(const struct stat& status);

// How much of a disk of that size must stay free for anything new to be safe: 1 GiB, or 2% if that is less.
uint64_t FreeSpaceFloor(uint64_t total_bytes);

// For numbers read one after the other, where the smaller may turn out larger.
constexpr uint64_t SubtractOrZero(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

// "the disk has 3 MiB left, and 200 MiB are kept free"
std::string DescribeShortage(std::string_view what, uint64_t left_bytes, uint64_t needed_bytes);

}  // namespace ckptfs
