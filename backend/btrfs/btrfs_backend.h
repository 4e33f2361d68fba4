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
#include "backend/btrfs/path_bounds.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// Both btrfs backends: they differ only in where the filesystem comes from, which is the BtrfsHome.
// A volume is the subvolume volumes/<uuid>; nothing else is kept anywhere. Durability comes from
// btrfs's transactions: what a transaction holds is on disk whole or not at all, and when function
// says "durable" it has waited for a commit.
//
// Stateless but for its descriptors and a time: any thread may call any function.
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

  std::vector<VolumeListing> List() const override;
  std::vector<std::string> ListForeign() const override;
  std::shared_ptr<Volume> Open(const VolumeId& id) const override;
  void Sync(const VolumeId& id) override;
  void WriteOut(const VolumeId& id) override;
  uint64_t ChangeMarker(const VolumeId& id) const override;
  VolumeUsage Usage(const VolumeId& id) const override;
  DiffList Changes(const VolumeId& older, const VolumeId& newer, WorkLimits& limits,
                   Extent extent) const override;
  bool MayBeEqual(const VolumeId& older, const VolumeId& newer, size_t files_max,
                  WorkLimits& limits) const override;
  SpaceInfo Space() const override;
  void RequireSpaceForNewVolume() const override;
  BackendHealth Health() const override;

 private:
  // The root directory of a volume. Throws ENOENT if there is none, saying so on `attempted`.
  UniqueFd OpenRoot(const VolumeId& id, const std::string& attempted) const;
  void MakeSnapshot(const VolumeId& source, const VolumeId& target, int flags,
                    const std::string& attempted);

  uint64_t Ballast() const;
  void AddImageWarnings(std::vector<std::string>& warnings) const;
  // Whether some were under way, which are on disk now. False also if the last look was a moment ago.
  bool CommitRemovals() const;

  const BtrfsHome home_;
  const bool is_read_only_;       // from the beginning
  const uint64_t damage_before_;  // what btrfs had found up to then
  mutable std::atomic<std::chrono::steady_clock::time_point> next_commit_{};  // of CommitRemovals
  mutable PathBounds path_bounds_;
  std::optional<ImageSpace> image_space_;  // of an image that can be written to; ends first
};

}  // namespace ckptfs
