// What stands beside each volume, so that a lost catalog can be rebuilt from the volumes.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/db/catalog.h"
#include "catalog/db/records.h"
#include "catalog/policies/settings.h"

namespace ckptfs {

enum class SidecarRole {
  kWorkspace,  // the live tree of a workspace
  kSnapshot,
  kScratch,  // nobody's: a help of one operation, always debris afterwards
};

// How far the operation that made the volume had come when the sidecar was written.
enum class SidecarState {
  kFilling,  // made, and being filled; it has no row yet
  kPrepared,  // a transaction of the catalog gives it a row, number `generation` or later, or nothing does
  kCommitted,  // it has had a row
};

// meta/<volume>.json: one row of the catalog, with what it refers to named in a way that outlives
// the catalog: snapshots by UUID, workspaces by view number. A value.
struct Sidecar {
  VolumeId volume;
  SidecarRole role = SidecarRole::kScratch;
  SidecarState state = SidecarState::kPrepared;
  // kPrepared: of the next transaction then. kCommitted: of the catalog when this was written.
  uint64_t generation = 0;
  // Of which workspace the volume is: name, view, created_ns; and, as of `generation`, its live
  // volume. With role kWorkspace also parent_marker. Ids are not kept.
  WorkspaceRecord workspace;
  // With role kWorkspace: what has been set for it.
  SettingMap settings;
  // With role kSnapshot, without its ids.
  SnapshotRecord snapshot;
  // The UUID of the snapshot that `snapshot` (or, with role kWorkspace, the live tree) derives
  // from; empty: none.
  Uuid parent;

  // Of a volume that never had a row: a comparison or an import is under way, or was when power went.
  bool IsUnfinished() const noexcept {
    return role == SidecarRole::kScratch || state == SidecarState::kFilling;
  }
  // Equal in all that the catalog knows: `generation` is not compared.
  bool SameRow(const Sidecar& other) const;
};

std::string SerializeSidecar(const Sidecar& sidecar);
// Throws Error EUCLEAN that says what is wrong with `text`.
Sidecar ParseSidecar(std::string_view text);

// The directory of sidecars, which the backend keeps beside the volumes. Its files are replaced in
// one step (written aside, handed to the disk, renamed), so that each is the old or the new one
// at any moment; they are durable when the backend says so (Backend::meta_fd). Any thread may call
// any function; writers of the same file must not race (the Store sees to that).
class MetaDirectory {
 public:
  // `meta_fd` is borrowed and must stay open. `needs_fsync`: BackendCapabilities::meta_needs_fsync.
  explicit MetaDirectory(int meta_fd, bool needs_fsync = false)
      : fd_(meta_fd), needs_fsync_(needs_fsync) {}

  // Both leave either the whole sidecar or what was there before, whenever the power goes, and are
  // durable with the backend's next operation that is (Backend::meta_fd). Create is for a volume that
  // has none yet: EEXIST otherwise.
  void Create(const Sidecar& sidecar) const;
  void Write(const Sidecar& sidecar) const;
  // Empty if there is none; Error EUCLEAN if it is damaged.
  std::optional<Sidecar> Read(const VolumeId& volume) const;
  bool Remove(const VolumeId& volume) const;  // false: there was none

  struct Listing {
    std::vector<VolumeId> sidecars;
    std::vector<std::string> leftovers;  // of writes that were cut short
    std::vector<std::string> foreign;    // what nothing here has written
  };
  Listing List() const;
  void RemoveLeftover(const std::string& name) const;

  // store.json: what the catalog says of the store itself.
  struct StoreFile {
    StoreFacts facts;
    RootAttributes mount_root;
    SettingMap settings;

    bool operator==(const StoreFile& other) const;
  };
  void WriteStore(const StoreFile& file) const;
  std::optional<StoreFile> ReadStore() const;  // empty if it is damaged, too

  // The generation of the last catalog transaction that was told to the store; 0: none was.
  uint64_t Generation() const;
  void SetGeneration(uint64_t generation) const;

 private:
  void Replace(const std::string& name, std::string_view text) const;
  std::optional<std::string> Slurp(const std::string& name) const;
  void HandToDisk(int file_fd) const;

  int fd_;
  bool needs_fsync_;
};

}  // namespace ckptfs
