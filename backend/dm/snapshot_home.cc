#include "backend/dm/snapshot_home.h"

#include <fmt/format.h>

#include <cerrno>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {
namespace {

constexpr char kSnapshotMarkName[] = "dm-snapshot.json";
constexpr char kSnapshotVolumesName[] = "cow";

}  // namespace

void CreateSnapshotHome(int store_fd, const BackendOptions& options) {
  const uint64_t size = options.size_bytes.value_or(DefaultStoreBytes(ReadDiskSpace(store_fd)));
  MakeDmHome(store_fd, kSnapshotVolumesName, size);
  WriteStoreMark(store_fd, kSnapshotMarkName, {.default_size = size});
}

DmHome OpenSnapshotHome(int store_fd, const BackendOptions& options) {
  RequireDmHome(store_fd, "dm-snapshot");
  DmHome home = OpenDmHome(store_fd, kSnapshotVolumesName);
  home.read_only = options.read_only;
  home.default_size = ReadStoreMark(store_fd, kSnapshotMarkName).default_size;
  if (options.size_bytes && *options.size_bytes != home.default_size) {
    throw Error(
        EINVAL, fmt::format("open the store with size={}", *options.size_bytes),
        fmt::format("its workspaces have {} bytes, as their template has", home.default_size),
        "Leave size= out, and add a template of that size");
  }
  ClearDmHome(home);
  return home;
}

void RemoveSnapshotHome(int store_fd) {
  RemoveDmHome(store_fd, kSnapshotVolumesName, kSnapshotMarkName);
}

bool SnapshotHomeExists(int store_fd) {
  return HasEntry(store_fd, kSnapshotMarkName) || HasDmVolumes(store_fd, kSnapshotVolumesName);
}

}  // namespace ckptfs
