// Volumes as devices of a thin pool over shared read-only images.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backend/dm/dm_backend.h"
#include "backend/dm/thin_home.h"
#include "backend/dm/thin_pool.h"
#include "backend/dm/thin_reclaimer.h"

namespace ckptfs {

// Backend on dm-thin. A volume is a device of the pool, with its template as external origin, and the file
// thin/<uuid>.volume that names it. A snapshot shares all blocks with its source, and takes the same time
// whatever the source's size.
class ThinBackend final : public DmBackend {
 public:
  ThinBackend(ThinHome home, const BackendOptions& options);
  ~ThinBackend() override;
  ThinBackend(const ThinBackend&) = delete;
  ThinBackend& operator=(const ThinBackend&) = delete;

  std::string_view type() const noexcept override { return kType; }
  size_t PendingDestroys() const override { return reclaimer_ ? reclaimer_->Pending() : 0; }
  VolumeUsage Usage(const VolumeId& id) const override;

  static constexpr char kType[] = "dm-thin";

 private:
  class PoolContent;

  std::unique_ptr<VolumeDevice> MakeDevice(const VolumeFile& volume,
                                           std::shared_ptr<const LoopDevice> base,
                                           const std::string& name, bool writable) const override;
  std::unique_ptr<NewContent> MakeContent(VolumeFile& volume, const TemplateInfo& base) override;
  std::unique_ptr<NewContent> CopyContent(const VolumeFile& source, VolumeFile& volume) override;
  void TakeAway(const VolumeId& id) override;
  DiskSpace Room() const override { return pool_.Room(); }
  void Tend() override { pool_.KeepMetadataRoomy(); }
  std::string RoomName() const override { return "the thin pool"; }
  bool discard() const noexcept override { return true; }

  bool Names(const PendingThinDevice& pending) const;
  void Fill(const VolumeHeader& header, int image_fd) const;

  const UniqueFd pool_directory_;
  mutable ThinPool pool_;
  std::optional<ThinReclaimer> reclaimer_;  // ends before the pool
};

}  // namespace ckptfs
