#include "backend/dm/thin_pool_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/store_file.h"
#include "backend/dm/pool_disk.h"
#include "backend/dm/thin_mark.h"
#include "backend/dm/thin_state.h"

namespace ckptfs {
namespace {

// A mapping takes 48 bytes at most (drivers/md/dm-thin-metadata.h), and each snapshot has its own mappings
// for changed blocks. The rest of the space is for those: the file is sparse and grows.
constexpr uint64_t kMappingBytes = 48;
constexpr uint64_t kMetadataFactor = 2;
constexpr uint64_t kMetadataMinBytes = 16 * kMiB;
constexpr uint64_t kMetadataDeviceMinBytes = 2 * kMiB;

uint64_t MetadataBytesFor(uint64_t data_bytes) {
  const uint64_t wanted = data_bytes / kThinBlockBytes * kMappingBytes * kMetadataFactor;
  return std::clamp(wanted / kMiB * kMiB, kMetadataMinBytes, kThinMetadataMaxBytes);
}

uint64_t SizeOf(int fd) {
  struct stat status {};
  CheckSyscall(fstat(fd, &status), "look at a file of the thin pool");
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace

UniqueFd OpenThinPoolFile(int pool_fd, const char* name, int flags) {
  UniqueFd fd = TryOpenStoreFile(pool_fd, name, flags);
  if (!fd.valid() && errno == EUCLEAN) {
    throw Error(EUCLEAN, "open the thin pool", fmt::format("pool/{} is no regular file", name),
                kPutThinPoolBack);
  }
  if (!fd.valid() && errno == ENOENT) {
    throw Error(ENOENT, "open the thin pool", fmt::format("pool/{} is not there", name),
                kPutThinPoolBack);
  }
  CheckSyscall(fd.get(), fmt::format("open pool/{}", name));
  return fd;
}

void MakeThinPool(int pool_fd, const ThinPoolPlace& place) {
  const auto make = [&](const char* name, uint64_t bytes) {
    const UniqueFd fd = ReplaceStoreFile(pool_fd, name);
    CheckSyscall(fd.get(), fmt::format("make pool/{}", name));
    CheckSyscall(ftruncate(fd.get(), static_cast<off_t>(bytes)), fmt::format("make pool/{}", name));
    if (name == kThinStateName) WriteThinState(fd.get(), {});
    CheckSyscall(fsync(fd.get()), fmt::format("make pool/{}", name));
  };
  // Zeroed metadata: the kernel initializes it as a pool's at first use.
  if (place.data_device.empty()) {
    make(kThinDataName, place.data_bytes / kThinBlockBytes * kThinBlockBytes);
    make(kThinMetadataName, MetadataBytesFor(place.data_bytes));
  } else {
    TakeBlankDevice(place.data_device, /*wipe=*/false);
    TakeBlankDevice(place.metadata_device, /*wipe=*/true);
    const uint64_t needed =
        PoolDisk(place.data_device, true).SizeBytes() / kThinBlockBytes * kMappingBytes;
    if (const uint64_t has = PoolDisk(place.metadata_device, true).SizeBytes();
        has < std::max(needed, kMetadataDeviceMinBytes)) {
      throw Error(ENOSPC, "make a thin pool",
                  fmt::format("{} has {} MiB, and the metadata of so large a pool can need {}",
                              place.metadata_device, has / kMiB, needed / kMiB + 2),
                  "Name a larger device with pool_metadata=");
    }
  }
  make(kThinStateName, 0);
  CheckSyscall(fsync(pool_fd), "make the thin pool durable");
}

void GrowThinPoolFiles(int pool_fd, uint64_t data_bytes) {
  const UniqueFd data = OpenThinPoolFile(pool_fd, kThinDataName, O_RDWR);
  const uint64_t wanted = data_bytes / kThinBlockBytes * kThinBlockBytes;
  const uint64_t present = SizeOf(data.get());
  if (wanted < present) {
    throw Error(EINVAL, fmt::format("open the store with size={}", data_bytes),
                fmt::format("its pool has {} bytes, and cannot be made smaller", present),
                "Leave size= out, or give a larger one");
  }
  const auto grow = [](int fd, uint64_t bytes, const char* name) {
    if (SizeOf(fd) >= bytes) return;
    CheckSyscall(ftruncate(fd, static_cast<off_t>(bytes)), fmt::format("grow pool/{}", name));
    CheckSyscall(fsync(fd), fmt::format("grow pool/{}", name));
  };
  // After a power failure in between, the metadata has more room than it needs.
  grow(OpenThinPoolFile(pool_fd, kThinMetadataName, O_RDWR).get(), MetadataBytesFor(wanted),
       kThinMetadataName);
  grow(data.get(), wanted, kThinDataName);
}

}  // namespace ckptfs
