// The file beside each volume from which a lost catalog can be rebuilt.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/partial_file.h"
#include "catalog/db/catalog.h"
#include "catalog/db/records.h"
#include "catalog/policies/settings.h"
#include "catalog/sidecar/spare_files.h"

namespace ckptfs {

enum class SidecarRole {
  kWorkspace,  // the live tree of a workspace
  kSnapshot,
  kScratch,  // temporary volume of one operation, always debris afterwards
};

// The progress of the operation that made the volume, when the sidecar was written.
enum class SidecarState {
  kFilling,    // created and being filled; has no row yet
  kPrepared,   // transaction `generation` or a later one gives it a row, or none does
  kCommitted,  // has had a row
};

// meta/<volume>.json: one row of the catalog. References are stored in a form that outlives the catalog:
// snapshots by UUID, workspaces by view number. A value.
struct Sidecar {
  VolumeId volume;
  SidecarRole role = SidecarRole::kScratch;
  SidecarState state = SidecarState::kPrepared;
  // kPrepared: that of the next transaction at the time. kCommitted: that of the catalog when this was
  // written.
  uint64_t generation = 0;
  // The workspace that the volume belongs to: name, view, created_ns; and, as of `generation`, its live
  // volume. With role kWorkspace also parent_marker. Ids are not kept.
  WorkspaceRecord workspace;
  // With role kWorkspace: its settings.
  SettingMap settings;
  // With role kSnapshot, without its ids.
  SnapshotRecord snapshot;
  // The UUID of the snapshot from which `snapshot` (or, with role kWorkspace, the live tree) derives; empty:
  // none.
  Uuid parent;

  // True for a volume that never had a row: a comparison or an import is running, or was when power failed.
  bool IsUnfinished() const noexcept {
    return role == SidecarRole::kScratch || state == SidecarState::kFilling;
  }
  // Equal in everything that the catalog knows: `generation` is not compared.
  bool SameRow(const Sidecar& other) const;
};

std::string SerializeSidecar(const Sidecar& sidecar);
// Throws Error EUCLEAN that says what is wrong with `text`.
Sidecar ParseSidecar(std::string_view text);

// The directory of sidecars, which the backend keeps beside the volumes. Files are replaced atomically
// (written to a temporary file, writeback started, renamed), so that each is always the old or the new one.
// They are durable as Backend::meta_fd describes. Thread-safe, but writers of the same file must not race
// (the Store ensures that).
class MetaDirectory {
 public:
  // `meta_fd` is borrowed and must stay open. `needs_fsync`: BackendCapabilities::meta_needs_fsync.
  explicit MetaDirectory(int meta_fd, bool needs_fsync = false)
      : fd_(meta_fd), needs_fsync_(needs_fsync) {}
  // From now on, a full disk does not keep sidecars from being written, as far as spare files go.
  void KeepSpares() { spares_ = std::make_unique<SpareFiles>(fd_); }

  // A power failure at any time leaves either the whole new sidecar or what was there before. Durable with
  // the backend's next durable operation (Backend::meta_fd). Create is for a volume that has no sidecar yet:
  // EEXIST otherwise.
  void Create(const Sidecar& sidecar) const;
  void Write(const Sidecar& sidecar) const;
  // Empty if there is none; throws Error EUCLEAN if it is damaged.
  std::optional<Sidecar> Read(const VolumeId& volume) const;
  bool Remove(const VolumeId& volume) const;  // false: there was none
  // Of a sidecar or leftover, as it is on disk; empty if it is gone or no regular file.
  std::optional<UnfinishedFile> StatusOf(const VolumeId& volume) const;
  std::optional<UnfinishedFile> StatusOfLeftover(const std::string& name) const;

  struct Listing {
    std::vector<VolumeId> sidecars;
    std::vector<std::string> leftovers;  // of interrupted writes
    std::vector<std::string> foreign;    // not written by ckptfs
  };
  Listing List() const;
  // Waits for writes that are under way, whose files are no leftovers. False: it is none, or gone.
  bool RemoveLeftover(const std::string& name) const;

  // What the catalog knows about the store itself, in the file kStoreFileName.
  static constexpr char kStoreFileName[] = "store.json";
  struct StoreFile {
    StoreFacts facts;
    RootAttributes mount_root;
    SettingMap settings;

    bool operator==(const StoreFile& other) const;
  };
  void WriteStore(const StoreFile& file) const;
  std::optional<StoreFile> ReadStore() const;  // empty if damaged or missing

  // The generation of the last catalog transaction that was recorded here; 0: none.
  uint64_t Generation() const;
  void SetGeneration(uint64_t generation) const;

 private:
  void Replace(const std::string& name, std::string_view text) const;
  UniqueFd Written(const std::string& name, std::string_view text) const;
  std::optional<std::string> Slurp(const std::string& name) const;
  void HandToDisk(int file_fd) const;

  const int fd_;
  const bool needs_fsync_;
  mutable SharedMutex replacing_;  // shared: a temporary file is being written; alone: none is
  std::unique_ptr<SpareFiles> spares_;
};

}  // namespace ckptfs
