// What a disk still takes, and how much of it is kept free.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace ckptfs {

// In bytes. A filesystem without a limit, as some tmpfs are, has a total of 0.
struct DiskSpace {
  uint64_t total = 0;
  uint64_t used = 0;
  uint64_t free = 0;  // for writing; what is reserved for others is not in it
};

// Of the filesystem of an open file or directory. Throws Error.
DiskSpace ReadDiskSpace(int fd);

// What a store takes of its disk at most, unless somebody says otherwise: 30 GiB, or 40% where that is
// less.
uint64_t DefaultStoreBytes(const DiskSpace& disk);

// What a file has of its disk, holes not counted.
uint64_t AllocatedBytes(const struct stat& status);

// How much of so large a disk has to stay free for anything new to be safe: 1 GiB, or 2% where that is
// less.
uint64_t FreeSpaceFloor(uint64_t total_bytes);

// Of numbers that are read one after the other, the smaller may come out larger.
constexpr uint64_t SubtractOrZero(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

// "the disk has 3 MiB left, and 200 MiB are kept free"
std::string DescribeShortage(std::string_view what, uint64_t left_bytes, uint64_t needed_bytes);

}  // namespace ckptfs
