// Volumes as CoW files over shared read-only images.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/dm/activation_table.h"
#include "backend/dm/snapshot_home.h"
#include "backend/dm/space_watch.h"
#include "backend/dm/template_store.h"

namespace ckptfs {

// Backend on dm-snapshot. A volume is the file cow/<uuid>.cow; it has a device and a mount only while
// somebody uses it. Of one that is being written to a snapshot is a copy of its file, taken while the
// device is suspended and the filesystem on it frozen.
//
// A file is on disk whole or not at all, and durable when a function says so: it is written under another
// name, synced, renamed, and the directory is synced.
class SnapshotBackend final : public Backend {
 public:
  SnapshotBackend(SnapshotHome home, const BackendOptions& options);
  ~SnapshotBackend() override;
  SnapshotBackend(const SnapshotBackend&) = delete;
  SnapshotBackend& operator=(const SnapshotBackend&) = delete;

  std::string_view type() const noexcept override { return kType; }
  BackendCapabilities capabilities() const noexcept override;
  int meta_fd() const noexcept override { return home_.meta.get(); }
  TemplateKeeper* templates() noexcept override { return &templates_; }

  void CreateEmpty(const VolumeId& id) override;
  void CreateFrom(const VolumeId& id, const TemplateId& base) override;
  void Snapshot(const VolumeId& source, const VolumeId& target) override;
  void Clone(const VolumeId& source, const VolumeId& target) override;
  void Seal(const VolumeId& id) override;
  bool Destroy(const VolumeId& id) override;
  void WaitDurable() override;
  size_t PendingDestroys() const override { return 0; }

  std::vector<VolumeListing> List() const override;
  std::vector<std::string> ListForeign() const override;
  std::shared_ptr<Volume> Open(const VolumeId& id) const override;
  void Sync(const VolumeId& id) override;
  void WriteOut(const VolumeId& id) override;
  uint64_t ChangeMarker(const VolumeId& id) const override;
  VolumeUsage Usage(const VolumeId& id) const override;
  std::vector<Change> Changes(const VolumeId& older, const VolumeId& newer) const override;
  SpaceInfo Space() const override;
  void RequireSpaceForNewVolume() const override;

  static constexpr char kType[] = "dm-snapshot";

 private:
  std::unique_ptr<Activation> Activate(const VolumeId& id) const;
  VolumeHeader HeaderOf(const VolumeId& id) const;
  void Copy(const VolumeId& source, const VolumeId& target, bool read_only,
            const std::string& operation);
  void SyncMeta() const;
  void RequireWritable(const std::string& attempted) const;
  // ENOSPC if a copy of that file would leave less than the floor of its disk.
  void RequireSpaceForCopy(int file_fd, const std::string& attempted) const;

  const SnapshotHome home_;
  const BackendOptions options_;
  const std::string device_prefix_;
  const bool shares_blocks_;  // files that are copied share their blocks, and cost none
  mutable TemplateStore templates_;
  const std::shared_ptr<ActivationTable> table_;
  std::optional<SpaceWatch> watch_;  // ends first
};

}  // namespace ckptfs
