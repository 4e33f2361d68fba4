// The device-mapper backends' entries in the table of backends.
#include "backend/dm/snapshot_backend.h"
#include "backend/dm/snapshot_home.h"
#include "backend/dm/thin_backend.h"
#include "backend/dm/thin_home.h"
#include "backend/interface/backend_entry.h"

namespace ckptfs {
namespace {

void RemoveSnapshots(int store_fd, const BackendOptions& /*options*/) {
  RemoveSnapshotHome(store_fd);
}

std::unique_ptr<Backend> OpenSnapshots(int store_fd, const BackendOptions& options) {
  return std::make_unique<SnapshotBackend>(OpenSnapshotHome(store_fd, options), options);
}

std::unique_ptr<Backend> OpenThin(int store_fd, const BackendOptions& options) {
  return std::make_unique<ThinBackend>(OpenThinHome(store_fd, options), options);
}

}  // namespace

std::vector<BackendEntry> DeviceMapperBackends() {
  return {{SnapshotBackend::kType, DmHomeObstacle, CreateSnapshotHome, SnapshotHomeExists,
           OpenSnapshots, RemoveSnapshots},
          {ThinBackend::kType, DmHomeObstacle, CreateThinHome, ThinHomeExists, OpenThin,
           RemoveThinHome, /*takes_pool_devices=*/true}};
}

}  // namespace ckptfs
