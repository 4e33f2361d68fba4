// Volumes as btrfs subvolumes.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/btrfs/home.h"
#include "backend/btrfs/image_space.h"
#include "backend/btrfs/lost_writes.h"
#include "backend/btrfs/path_bounds.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// Both btrfs backends: they differ only in where the filesystem comes from (BtrfsHome). A volume is the
// subvolume volumes/<uuid>; there is no other state. Durability comes from btrfs transactions: a transaction
// is on disk as a whole or not at all. A function documented as durable has waited for a commit.
//
// Stateless except for its descriptors and a time. Thread-safe.
class BtrfsBackend final : public Backend {
 public:
  explicit BtrfsBackend(BtrfsHome home);

  std::string_view type() const noexcept override { return home_.type; }
  BackendCapabilities capabilities() const noexcept override;
  int meta_fd() const noexcept override { return home_.meta.get(); }

  void CreateEmpty(const VolumeId& id) override;
  void Snapshot(const VolumeId& source, const VolumeId& target) override;
  void Clone(const VolumeId& source, const VolumeId& target) override;
  void Seal(const VolumeId& id) override;
  bool Destroy(const VolumeId& id) override;
  void WaitDestroyed() override;
  void WaitDurable() override;
  size_t PendingDestroys() const override;
  void Reclaim() const override;

  std::vector<VolumeListing> List() const override;
  std::vector<std::string> ListForeign() const override;
  std::shared_ptr<Volume> Open(const VolumeId& id) const override;
  void Sync(const VolumeId& id) override;
  void WriteOut(const VolumeId& id) override;
  void SettleChanges(const VolumeId& id) override;
  uint64_t ChangeMarker(const VolumeId& id) const override;
  VolumeUsage Usage(const VolumeId& id) const override;
  DiffList Changes(const VolumeId& older, const VolumeId& newer, WorkLimits& limits,
                   Extent extent) const override;
  bool MayBeEqual(const VolumeId& older, const VolumeId& newer, size_t files_max,
                  WorkLimits& limits) const override;
  SpaceInfo Space() const override;
  std::vector<SpaceLevel> SpaceLevels() const override;
  void FollowDisk() override;
  uint64_t ReturnFreedBlocks() override;
  BackendHealth Health() const override;
  void SuspectLostWrites() noexcept override;
  std::optional<StorageFailure> Failure() const override;

 private:
  // The root directory of a volume. Throws ENOENT, naming `attempted`, if there is no such volume.
  UniqueFd OpenRoot(const VolumeId& id, const std::string& attempted) const;
  void MakeSnapshot(const VolumeId& source, const VolumeId& target, int flags,
                    const std::string& attempted);
  // All its dirty data, and nothing of other volumes.
  void WriteOutVolume(int root_fd, const VolumeId& id, const std::string& attempted) const;

  uint64_t Ballast() const;
  void LookForLostWrites() const;
  // Commits pending removals; returns whether there were any. Also false if the last call was a moment ago.
  bool CommitRemovals() const;

  const BtrfsHome home_;
  const bool is_read_only_;       // since the start
  const uint64_t damage_before_;  // btrfs's error counts at the start
  const uint64_t write_errors_before_;
  mutable std::atomic<std::chrono::steady_clock::time_point> next_commit_{};  // of CommitRemovals
  mutable PathBounds path_bounds_;
  std::atomic<uint64_t> suspicions_{0};
  mutable std::optional<LostWrites> lost_writes_;  // of a writable filesystem
  std::optional<ImageSpace> image_space_;          // of a writable image; destroyed first
};

}  // namespace ckptfs
