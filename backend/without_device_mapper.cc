// Replaces backend/dm/ in a build without device-mapper (CKPTFS_DEVICE_MAPPER).
#include <cerrno>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/dm/device_mapper.h"
#include "backend/interface/backend_entry.h"

namespace ckptfs {
namespace {

constexpr char kNone[] = "this ckptfs was built without device-mapper";

std::optional<std::string> Obstacle(int /*store_fd*/) { return kNone; }

[[noreturn]] void Refuse() {
  throw Error(ENOTSUP, "use device-mapper", kNone, "Use a ckptfs that has it");
}

void Create(int /*store_fd*/, const BackendOptions& /*options*/) { Refuse(); }

std::unique_ptr<Backend> Open(int /*store_fd*/, const BackendOptions& /*options*/) { Refuse(); }

// This build cannot have left an unfinished store of such a type.
void Remove(int /*store_fd*/, const BackendOptions& /*options*/) {}

// By its mark, or the directory of its volumes: no other store may be created beside them.
bool SnapshotStoreExists(int store_fd) {
  return HasEntry(store_fd, "dm-snapshot.json") || HasEntry(store_fd, "cow");
}

bool ThinStoreExists(int store_fd) {
  return HasEntry(store_fd, "dm-thin.json") || HasEntry(store_fd, "thin");
}

}  // namespace

std::vector<BackendEntry> DeviceMapperBackends() {
  return {{"dm-snapshot", Obstacle, Create, SnapshotStoreExists, Open, Remove},
          {"dm-thin", Obstacle, Create, ThinStoreExists, Open, Remove,
           /*takes_pool_devices=*/true}};
}

// For tests, which call it before they use a device and when they look for leftovers.
std::string DmObstacle() { return kNone; }
std::vector<std::string> ListDmDevices(std::string_view /*uuid_prefix*/) { return {}; }

}  // namespace ckptfs
