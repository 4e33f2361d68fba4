#include "backend/dm/thin_home.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cerrno>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/dm/thin_pool.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {
namespace {

constexpr char kThinMarkName[] = "dm-thin.json";
constexpr char kThinVolumesName[] = "thin";
constexpr char kPoolName[] = "pool";

void RefuseOtherDevice(const std::string& option, const std::string& given,
                       const std::string& recorded) {
  if (given.empty() || given == recorded) return;
  throw Error(EINVAL, fmt::format("open the store with {}={}", option, given),
              recorded.empty() ? "its pool is in files of the store"
                               : fmt::format("its pool is on {}", recorded),
              "Leave the option out");
}

}  // namespace

void CreateThinHome(int store_fd, const BackendOptions& options) {
  const std::string& data = options.pool_data_device;
  const std::string& metadata = options.pool_metadata_device;
  if (data.empty() != metadata.empty()) {
    throw Error(EINVAL, "make a thin pool", "one of pool_data= and pool_metadata= is missing",
                "Give both, or none: then the pool is in files of the store");
  }
  const uint64_t size = options.size_bytes.value_or(DefaultStoreBytes(ReadDiskSpace(store_fd)));
  // Steps that may be refused come first.
  MakeDirectory(store_fd, kPoolName);
  try {
    MakeThinPool(OpenDmDirectory(store_fd, kPoolName).get(),
                 {.data_device = data, .metadata_device = metadata, .data_bytes = size});
    Failpoint("dm-create.after-pool");
    MakeDmHome(store_fd, kThinVolumesName, size);
  } catch (...) {
    RemoveUnfinishedHome(store_fd, {kPoolName});
    throw;
  }
  WriteStoreMark(store_fd, kThinMarkName,
                 {.default_size = size, .data_device = data, .metadata_device = metadata});
}

ThinHome OpenThinHome(int store_fd, const BackendOptions& options) {
  RequireDmHome(store_fd, "dm-thin-pool");
  const StoreMark mark = ReadStoreMark(store_fd, kThinMarkName);
  RefuseOtherDevice("pool_data", options.pool_data_device, mark.data_device);
  RefuseOtherDevice("pool_metadata", options.pool_metadata_device, mark.metadata_device);
  ThinHome thin{.home = OpenDmHome(store_fd, kThinVolumesName),
                .pool = OpenDmDirectory(store_fd, kPoolName),
                .data_device = mark.data_device,
                .metadata_device = mark.metadata_device};
  thin.home.read_only = options.read_only;
  thin.home.default_size = mark.default_size;
  if (!mark.data_device.empty()) {
    thin.home.sector_bytes = PoolDisk(mark.data_device, /*read_only=*/true).SectorBytes();
  }
  // A pool on devices has their size.
  if (options.size_bytes && !options.read_only && mark.data_device.empty()) {
    GrowThinPoolFiles(thin.pool.get(), *options.size_bytes);
  }
  ClearDmHome(thin.home);
  return thin;
}

void RemoveThinHome(int store_fd, const BackendOptions& options) {
  if (HasDmVolumes(store_fd, kThinVolumesName)) {
    throw Error(EEXIST, fmt::format("remove {}", kThinVolumesName), "there are volumes in it");
  }
  if (HasEntry(store_fd, kThinMarkName)) {
    const StoreMark mark = ReadStoreMark(store_fd, kThinMarkName);
    for (const std::string& device : {mark.data_device, mark.metadata_device}) {
      if (device.empty()) continue;
      if (device == options.pool_data_device || device == options.pool_metadata_device) {
        BlankPoolDevice(device);
      } else {
        spdlog::warn("{} is left unchanged: the options of this mount do not name it", device);
      }
    }
  }
  RemoveUnfinishedHome(store_fd, {kPoolName});
  RemoveDmHome(store_fd, kThinVolumesName, kThinMarkName);
}

bool ThinHomeExists(int store_fd) {
  return HasEntry(store_fd, kThinMarkName) || HasDmVolumes(store_fd, kThinVolumesName);
}

}  // namespace ckptfs
