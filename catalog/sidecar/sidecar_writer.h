// Keeps the sidecars in step with the catalog.
#pragma once

#include <set>

#include "backend/base/mutex.h"
#include "catalog/db/catalog.h"
#include "catalog/sidecar/sidecar.h"

namespace ckptfs {

// Writes sidecars from rows. The catalog is authoritative and the sidecars follow: a crash in between leaves
// a stale sidecar, which recovery updates. Thread-safe; concurrent Refresh calls end with the sidecar of the
// last committed row.
class SidecarWriter {
 public:
  // Both must outlive this object.
  SidecarWriter(const Catalog& catalog, const MetaDirectory& meta)
      : catalog_(catalog), meta_(meta) {}

  // The sidecar that this row's volume should have.
  Sidecar Describe(const WorkspaceRecord& workspace) const;
  Sidecar Describe(const SnapshotRecord& snapshot) const;

  // The current content for store.json.
  MetaDirectory::StoreFile DescribeStore() const;
  // Updates store.json. Failures as for Refresh.
  bool RefreshStore() noexcept;

  // For a volume about to be created. Sets its `generation`: that of the next transaction.
  void Prepare(Sidecar sidecar);
  // The same for a volume that has had a sidecar since its filling began.
  void PrepareFilled(Sidecar sidecar);
  // Updates the sidecar of a volume, and those that are late. Does nothing if the volume has no row. Failures, e.g. on a full disk, are
  // logged: the catalog is authoritative. Then false, and WriteLate is to be called until it returns true.
  bool Refresh(const VolumeId& volume) noexcept;
  // Writes what could not be written before. Whether that is all now.
  bool WriteLate() noexcept;
  // True if the sidecar was missing, damaged or stale, and has been written.
  bool WriteIfStale(const Sidecar& right);

 private:
  bool Write(const VolumeId& volume) noexcept REQUIRES(mutex_);
  bool WriteStore() noexcept REQUIRES(mutex_);
  bool WriteAllLate() noexcept REQUIRES(mutex_);
  Uuid UuidOf(std::optional<int64_t> snapshot_id) const;

  const Catalog& catalog_;
  const MetaDirectory& meta_;
  Mutex mutex_;  // held from reading the row to the sidecar's rename
  std::set<VolumeId> late_ GUARDED_BY(mutex_);
  bool is_store_late_ GUARDED_BY(mutex_) = false;
};

}  // namespace ckptfs
