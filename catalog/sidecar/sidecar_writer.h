// Keeps the sidecars in step with the catalog.
#pragma once

#include <mutex>
#include <set>

#include "catalog/db/catalog.h"
#include "catalog/sidecar/sidecar.h"

namespace ckptfs {

// Writes sidecars from rows. The catalog is right and the sidecars follow: a crash between the two
// leaves a sidecar that is out of date, which the recovery after it writes anew. Any thread may
// call any function; Refresh from several threads ends with the sidecar of the last committed row.
class SidecarWriter {
 public:
  // Both must outlive this.
  SidecarWriter(const Catalog& catalog, const MetaDirectory& meta)
      : catalog_(catalog), meta_(meta) {}

  // What the sidecar of that row's volume should say.
  Sidecar Describe(const WorkspaceRecord& workspace) const;
  Sidecar Describe(const SnapshotRecord& snapshot) const;

  // What store.json should say.
  MetaDirectory::StoreFile DescribeStore() const;
  // Brings store.json up to date. A failure is logged only.
  void RefreshStore() noexcept;

  // For a volume that is to be made. Its `generation` is set here: that of the next transaction.
  void Prepare(Sidecar sidecar);
  // The same for one that has a sidecar since somebody began to fill it.
  void PrepareFilled(Sidecar sidecar);
  // Brings the sidecar of a volume up to date, and with it those for which that has failed before, as on a full
  // disk; does nothing if the volume has no row. Failures are logged only: the catalog has the truth.
  void Refresh(const VolumeId& volume) noexcept;
  // True if the sidecar had to be written: it was missing, damaged or out of date.
  bool WriteIfStale(const Sidecar& right);

 private:
  bool Write(const VolumeId& volume) noexcept;  // with `mutex_`
  Uuid UuidOf(std::optional<int64_t> snapshot_id) const;

  const Catalog& catalog_;
  const MetaDirectory& meta_;
  std::mutex mutex_;  // from reading the row to the sidecar's rename
  std::set<VolumeId> late_;
};

}  // namespace ckptfs
