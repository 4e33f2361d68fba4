#include "backend/btrfs/superblock.h"

#include <endian.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include <array>
#include <cstring>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

// The offsets of the fields: "On-disk format, superblock" in the btrfs documentation.
constexpr off_t kSuperblockOffset = off_t{64} * 1024;
constexpr size_t kSuperblockBytes = 4096;
constexpr size_t kFsidAt = 0x20;
constexpr size_t kMagicAt = 0x40;
constexpr size_t kTotalBytesAt = 0x70;
constexpr size_t kDeviceCountAt = 0x88;
constexpr size_t kLabelAt = 0x12b;
constexpr size_t kLabelBytes = 256;
constexpr std::array<char, 8> kSuperblockMagic = {'_', 'B', 'H', 'R', 'f', 'S', '_', 'M'};

using RawSuperblock = std::array<char, kSuperblockBytes>;

uint64_t ReadLe64(const RawSuperblock& raw, size_t at) {
  uint64_t value = 0;
  std::memcpy(&value, raw.data() + at, sizeof(value));
  return le64toh(value);
}

}  // namespace

std::optional<BtrfsSuperblock> ReadSuperblock(int fd) {
  RawSuperblock raw{};
  const ssize_t got = CheckSyscall(pread(fd, raw.data(), raw.size(), kSuperblockOffset),
                                   "read the superblock of the image");
  if (static_cast<size_t>(got) < raw.size()) return std::nullopt;
  if (std::memcmp(raw.data() + kMagicAt, kSuperblockMagic.data(), kSuperblockMagic.size()) != 0)
    return std::nullopt;

  BtrfsSuperblock super;
  uuid_t fsid;
  std::memcpy(fsid, raw.data() + kFsidAt, sizeof(fsid));
  std::array<char, UUID_STR_LEN> text{};
  uuid_unparse_lower(fsid, text.data());
  super.fsid = text.data();
  super.label.assign(raw.data() + kLabelAt, strnlen(raw.data() + kLabelAt, kLabelBytes));
  super.total_bytes = ReadLe64(raw, kTotalBytesAt);
  super.device_count = ReadLe64(raw, kDeviceCountAt);
  return super;
}

}  // namespace ckptfs
