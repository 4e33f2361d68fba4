// Volumes as CoW files over shared read-only images.
#pragma once

#include <memory>
#include <string>

#include "backend/dm/dm_backend.h"

namespace ckptfs {

// Backend on dm-snapshot. A volume is the file cow/<uuid>.volume: its header, and dm-snapshot's store of the
// chunks that differ from the base. A snapshot is a copy of that file.
class SnapshotBackend final : public DmBackend {
 public:
  SnapshotBackend(DmHome home, const BackendOptions& options);
  ~SnapshotBackend() override;
  SnapshotBackend(const SnapshotBackend&) = delete;
  SnapshotBackend& operator=(const SnapshotBackend&) = delete;

  std::string_view type() const noexcept override { return kType; }
  BackendCapabilities capabilities() const noexcept override;
  size_t PendingDestroys() const override { return 0; }
  VolumeUsage Usage(const VolumeId& id) const override;

  static constexpr char kType[] = "dm-snapshot";

 private:
  std::unique_ptr<VolumeDevice> MakeDevice(const VolumeFile& volume,
                                           std::shared_ptr<const LoopDevice> base,
                                           const std::string& name, bool writable) const override;
  std::unique_ptr<NewContent> MakeContent(VolumeFile& volume, const TemplateInfo& base) override;
  std::unique_ptr<NewContent> CopyContent(const VolumeFile& source, VolumeFile& volume) override;
  void TakeAway(const VolumeId& id) override;
  DiskSpace Room() const override { return ReadDiskSpace(home().volumes.get()); }
  std::string RoomName() const override { return "the disk of the store"; }
  // ENOSPC if a copy of that file would leave less free space on its disk than the floor.
  void RequireSpaceForCopy(int file_fd, const std::string& attempted) const;

  const bool shares_blocks_;  // copies share blocks, and cost no space
};

}  // namespace ckptfs
