// The table of backends: a new one is a line here.
#include "backend/registry.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "backend/base/error.h"
#include "backend/base/proc_path.h"
#include "backend/btrfs/base_home.h"
#include "backend/btrfs/btrfs_backend.h"
#include "backend/btrfs/loop_home.h"
#include "backend/dm/snapshot_backend.h"
#include "backend/dm/snapshot_home.h"
#include "backend/dm/thin_backend.h"
#include "backend/dm/thin_home.h"
#include "backend/interface/backend.h"

namespace ckptfs {
namespace {

struct BackendEntry {
  std::string_view type;
  // Why a store in this directory cannot have it; empty if it can.
  std::optional<std::string> (*obstacle)(int store_fd);
  void (*create)(int store_fd, const BackendOptions& options);
  bool (*exists)(int store_fd);
  std::unique_ptr<Backend> (*open)(int store_fd, const BackendOptions& options);
  // Takes away an empty one.
  void (*remove)(int store_fd, const BackendOptions& options);
};

template <void (*Remove)(int)>
void RemoveFrom(int store_fd, const BackendOptions& /*options*/) {
  Remove(store_fd);
}

std::optional<std::string> NoObstacle(int /*store_fd*/) { return std::nullopt; }

template <BtrfsHome (*OpenHome)(int, const BackendOptions&)>
std::unique_ptr<Backend> OpenBtrfs(int store_fd, const BackendOptions& options) {
  return std::make_unique<BtrfsBackend>(OpenHome(store_fd, options));
}

std::unique_ptr<Backend> OpenDmSnapshot(int store_fd, const BackendOptions& options) {
  return std::make_unique<SnapshotBackend>(OpenSnapshotHome(store_fd, options), options);
}

std::unique_ptr<Backend> OpenDmThin(int store_fd, const BackendOptions& options) {
  return std::make_unique<ThinBackend>(OpenThinHome(store_fd, options), options);
}

// "auto" takes the first without an obstacle.
constexpr std::array kBackends = {
    BackendEntry{"btrfs-base", BaseHomeObstacle, CreateBaseHome, BaseHomeExists,
                 OpenBtrfs<OpenBaseHome>, RemoveFrom<RemoveBaseHome>},
    BackendEntry{"btrfs-loop", NoObstacle, CreateLoopHome, LoopHomeExists, OpenBtrfs<OpenLoopHome>,
                 RemoveFrom<RemoveLoopHome>},
    BackendEntry{SnapshotBackend::kType, DmHomeObstacle, CreateSnapshotHome, SnapshotHomeExists,
                 OpenDmSnapshot, RemoveFrom<RemoveSnapshotHome>},
    BackendEntry{ThinBackend::kType, DmHomeObstacle, CreateThinHome, ThinHomeExists, OpenDmThin,
                 RemoveThinHome},
};

const BackendEntry& FindBackend(const std::string& type) {
  const auto* found = std::find_if(kBackends.begin(), kBackends.end(),
                                   [&](const BackendEntry& entry) { return entry.type == type; });
  if (found != kBackends.end()) return *found;
  throw Error(EINVAL, fmt::format("use backend '{}'", type), "there is no such backend",
              fmt::format("Known are: auto, {}", fmt::join(BackendTypes(), ", ")));
}

// For people.
std::string PathOf(int fd) {
  const std::string path = PathOfDescriptor(fd);
  return path.empty() ? "the store" : path;
}

// The type of the filesystem that `fd` lies on, as /proc/self/mountinfo names it: fields are mount
// id, parent, ..., " - ", type, source, options. For people.
std::string FilesystemTypeOf(int fd) {
  struct statx stat {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stat) == 0) {
    std::ifstream mounts("/proc/self/mountinfo");
    const std::string start = std::to_string(stat.stx_mnt_id) + " ";
    std::string line;
    while (std::getline(mounts, line)) {
      const size_t dash = line.find(" - ");
      if (!line.starts_with(start) || dash == std::string::npos) continue;
      return line.substr(dash + 3, line.find(' ', dash + 3) - dash - 3);
    }
  }
  return "a filesystem of unknown type";
}

void RefusePoolDevices(const std::string& type, const BackendOptions& options) {
  if (options.pool_data_device.empty() && options.pool_metadata_device.empty()) return;
  if (type == ThinBackend::kType) return;
  throw Error(
      EINVAL,
      "use pool_data= and pool_metadata=", fmt::format("the backend {} has no thin pool", type),
      fmt::format("Leave them out, or make a new store with backend={}", ThinBackend::kType));
}

}  // namespace

BackendChoice ChooseBackend(int store_fd, const std::string& requested) {
  if (requested == "auto") {
    for (const BackendEntry& entry : kBackends) {
      if (entry.obstacle(store_fd)) continue;
      return {std::string(entry.type),
              fmt::format("auto: {} is on {}", PathOf(store_fd), FilesystemTypeOf(store_fd))};
    }
    throw Error(EINVAL, "choose a backend", "none can work here");
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
  RefusePoolDevices(type, options);
  entry.create(store_fd, options);
}

void RemoveBackends(int store_fd, const BackendOptions& options) noexcept {
  for (const BackendEntry& entry : kBackends) {
    try {
      entry.remove(store_fd, options);
    } catch (const std::exception& error) {
      spdlog::warn("{}, of a store that could not be mounted", error.what());
    }
  }
}

std::optional<std::string> DetectBackend(int store_fd) {
  for (const BackendEntry& entry : kBackends) {
    if (entry.exists(store_fd)) return std::string(entry.type);
  }
  return std::nullopt;
}

std::unique_ptr<Backend> OpenBackend(int store_fd, const std::string& type,
                                     const BackendOptions& options) {
  RefusePoolDevices(type, options);
  return FindBackend(type).open(store_fd, options);
}

std::vector<std::string> BackendTypes() {
  std::vector<std::string> types;
  types.reserve(kBackends.size());
  for (const BackendEntry& entry : kBackends) types.emplace_back(entry.type);
  return types;
}

}  // namespace ckptfs
