// The table of backends: a new backend is an entry here.
#include "backend/registry.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/mount_table.h"
#include "backend/base/proc_path.h"
#include "backend/btrfs/base_home.h"
#include "backend/btrfs/btrfs_backend.h"
#include "backend/btrfs/loop_home.h"
#include "backend/interface/backend_entry.h"

namespace ckptfs {
namespace {

template <void (*Remove)(int)>
void RemoveFrom(int store_fd, const BackendOptions& /*options*/) {
  Remove(store_fd);
}

std::optional<std::string> NoObstacle(int /*store_fd*/) { return std::nullopt; }

template <BtrfsHome (*OpenHome)(int, const BackendOptions&)>
std::unique_ptr<Backend> OpenBtrfs(int store_fd, const BackendOptions& options) {
  return std::make_unique<BtrfsBackend>(OpenHome(store_fd, options));
}

// "auto" takes the first one without an obstacle.
const std::vector<BackendEntry>& Backends() {
  // Never destroyed: a store may be open until the end of the process.
  static const auto& kBackends = *new std::vector<BackendEntry>([] {
    std::vector<BackendEntry> backends = {
        {"btrfs-base", BaseHomeObstacle, CreateBaseHome, BaseHomeExists, OpenBtrfs<OpenBaseHome>,
         RemoveFrom<RemoveBaseHome>},
        {"btrfs-loop", NoObstacle, CreateLoopHome, LoopHomeExists, OpenBtrfs<OpenLoopHome>,
         RemoveFrom<RemoveLoopHome>}};
    for (const BackendEntry& entry : DeviceMapperBackends()) backends.push_back(entry);
    return backends;
  }());
  return kBackends;
}

const BackendEntry& FindBackend(const std::string& type) {
  for (const BackendEntry& entry : Backends()) {
    if (entry.type == type) return entry;
  }
  throw Error(EINVAL, fmt::format("use backend '{}'", type), "there is no such backend",
              fmt::format("Known are: auto, {}", fmt::join(BackendTypes(), ", ")));
}

// For messages.
std::string PathOf(int fd) {
  const std::string path = PathOfDescriptor(fd);
  return path.empty() ? "the store" : path;
}

// The type of the filesystem that contains `fd`, as in /proc/self/mountinfo. For messages.
std::string FilesystemTypeOf(int fd) {
  struct statx stat {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stat) == 0) {
    for (const Mount& mount : ReadMounts("/proc/self/mountinfo")) {
      if (static_cast<uint64_t>(mount.id) == stat.stx_mnt_id) return mount.type;
    }
  }
  return "a filesystem of unknown type";
}

void RefusePoolDevices(const BackendEntry& entry, const BackendOptions& options) {
  if (options.pool_data_device.empty() && options.pool_metadata_device.empty()) return;
  if (entry.takes_pool_devices) return;
  throw Error(EINVAL, "use pool_data= and pool_metadata=",
              fmt::format("the backend {} has no thin pool", entry.type),
              "Leave them out, or make a new store with backend=dm-thin");
}

}  // namespace

BackendChoice ChooseBackend(int store_fd, const std::string& requested) {
  if (requested == "auto") {
    for (const BackendEntry& entry : Backends()) {
      if (entry.obstacle(store_fd)) continue;
      return {std::string(entry.type),
              fmt::format("auto: {} is on {}", PathOf(store_fd), FilesystemTypeOf(store_fd))};
    }
    throw Error(EINVAL, "choose a backend", "no backend works here");
  }
  const BackendEntry& entry = FindBackend(requested);
  if (const auto obstacle = entry.obstacle(store_fd)) {
    throw Error(EINVAL, fmt::format("use backend {} in {}", requested, PathOf(store_fd)), *obstacle,
                "Use backend=auto, or put the store elsewhere");
  }
  return {requested, fmt::format("asked for by backend={}", requested)};
}

void CreateBackend(int store_fd, const std::string& type, const BackendOptions& options) {
  const BackendEntry& entry = FindBackend(type);
  if (const auto present = DetectBackend(store_fd)) {
    throw Error(EEXIST, fmt::format("make a new store in {}", PathOf(store_fd)),
                fmt::format("it holds volumes of backend {} already", *present));
  }
  RefusePoolDevices(entry, options);
  entry.create(store_fd, options);
}

void RemoveBackends(int store_fd, const BackendOptions& options) noexcept {
  for (const BackendEntry& entry : Backends()) {
    try {
      entry.remove(store_fd, options);
    } catch (const std::exception& error) {
      spdlog::warn("{}, of a store that could not be mounted", error.what());
    }
  }
}

std::optional<std::string> DetectBackend(int store_fd) {
  for (const BackendEntry& entry : Backends()) {
    if (entry.exists(store_fd)) return std::string(entry.type);
  }
  return std::nullopt;
}

std::unique_ptr<Backend> OpenBackend(int store_fd, const std::string& type,
                                     const BackendOptions& options) {
  const BackendEntry& entry = FindBackend(type);
  RefusePoolDevices(entry, options);
  return entry.open(store_fd, options);
}

std::vector<std::string> BackendTypes() {
  std::vector<std::string> types;
  types.reserve(Backends().size());
  for (const BackendEntry& entry : Backends()) types.emplace_back(entry.type);
  return types;
}

}  // namespace ckptfs
