#include "backend/dm/cow_exceptions.h"

#include <endian.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "backend/base/error.h"
#include "backend/dm/cow_file.h"

namespace ckptfs {
namespace {

constexpr uint32_t kMagic = 0x70416e53;  // "SnAp"
constexpr uint32_t kCowVersion = 1;
constexpr char kReadingCow[] = "read a CoW file";

// All little-endian.
struct DiskHeader {
  uint32_t magic;
  uint32_t valid;
  uint32_t version;
  uint32_t chunk_sectors;
};

struct DiskException {
  uint64_t old_chunk;
  uint64_t new_chunk;
};

constexpr size_t kExceptionsPerChunk = kCowChunkBytes / sizeof(DiskException);
using Table = std::array<DiskException, kExceptionsPerChunk>;

// False at the end of the file.
template <typename Record>
bool ReadAt(int fd, uint64_t offset, Record* record) {
  const ssize_t got =
      CheckSyscall(pread(fd, record, sizeof(Record), static_cast<off_t>(offset)), kReadingCow);
  return got == sizeof(Record);
}

// All zero (a magic of 0) in a file that was never attached.
DiskHeader ReadHeader(int fd, uint64_t offset) {
  DiskHeader header{};
  if (!ReadAt(fd, offset, &header)) throw Error(EUCLEAN, kReadingCow, "it is cut short");
  if (header.magic == 0) return header;
  if (le32toh(header.magic) != kMagic || le32toh(header.version) != kCowVersion ||
      le32toh(header.chunk_sectors) != kCowChunkSectors) {
    throw Error(EUCLEAN, kReadingCow, "it is not a dm-snapshot store, or has another format");
  }
  return header;
}

}  // namespace

void ForEachCowException(int fd, uint64_t offset,
                         const std::function<void(const CowException&)>& visit) {
  if (ReadHeader(fd, offset).magic == 0) return;
  Table table{};
  // After the header come tables, each followed by the chunks that it lists.
  for (uint64_t area = 0;; ++area) {
    const uint64_t table_chunk = 1 + area * (kExceptionsPerChunk + 1);
    if (!ReadAt(fd, offset + table_chunk * kCowChunkBytes, &table)) return;
    for (const DiskException& exception : table) {
      // Chunk 0 is the header's: it marks the end.
      if (exception.new_chunk == 0) return;
      visit({le64toh(exception.old_chunk), le64toh(exception.new_chunk)});
    }
  }
}

bool RevalidateCow(int fd, uint64_t offset) {
  DiskHeader header = ReadHeader(fd, offset);
  if (header.magic == 0 || header.valid != 0) return false;
  header.valid = htole32(1);
  constexpr char kMending[] = "mend a CoW file that the kernel has given up";
  CheckSyscall(pwrite(fd, &header, sizeof(header), static_cast<off_t>(offset)), kMending);
  CheckSyscall(fdatasync(fd), kMending);
  return true;
}

}  // namespace ckptfs
