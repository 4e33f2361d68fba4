// The common base of the backends on device-mapper.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/dm/activation_table.h"
#include "backend/dm/dm_home.h"
#include "backend/dm/space_watch.h"
#include "backend/dm/template_store.h"
#include "backend/dm/volume_reviver.h"
#include "backend/interface/backend.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {

// A Backend whose volumes start as a shared read-only image. A volume is a file <uuid>.volume, which begins
// with its header, plus the content that the derived class stores. It has a device and a mount only while it
// is used. A snapshot of a volume in use is taken while its device is suspended and its filesystem frozen.
//
// A volume's file is on disk completely or not at all, and durable where a function says so: it is written
// under a temporary name, synced and renamed, and the directory is synced.
class DmBackend : public Backend {
 public:
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

  std::vector<VolumeListing> List() const override;
  std::vector<std::string> ListForeign() const override;
  std::shared_ptr<Volume> Open(const VolumeId& id) const override;
  void Sync(const VolumeId& id) override;
  void WriteOut(const VolumeId& id) override;
  uint64_t ChangeMarker(const VolumeId& id) const override;
  DiffList Changes(const VolumeId& older, const VolumeId& newer, WorkLimits& limits,
                   Extent extent) const override;
  bool MayBeEqual(const VolumeId& older, const VolumeId& newer, size_t files_max,
                  WorkLimits& limits) const override;
  SpaceInfo Space() const override;
  std::vector<LeftoverFile> Leftovers() const override;
  bool RemoveLeftover(const std::string& name) override;
  std::vector<SpaceLevel> SpaceLevels() const override;
  BackendHealth Health() const override;
  void OnRevival(const std::function<void(const VolumeId&)>& revived) override {
    reviver_.OnRevival(revived);
  }

 protected:
  // The content of a new volume apart from its file: removed by the destructor unless it was kept.
  class NewContent {
   public:
    NewContent() = default;
    virtual ~NewContent() = default;
    NewContent(const NewContent&) = delete;
    NewContent& operator=(const NewContent&) = delete;
    // Called once the volume's file exists.
    virtual void Keep() noexcept = 0;
  };

  // A volume as stored in its file.
  struct VolumeFile {
    const VolumeId& id;
    int fd = -1;
    VolumeHeader header;
  };

  DmBackend(DmHome home, const BackendOptions& options, ImageFiller fill);
  // The derived class calls Start at the end of its constructor, and End at the beginning of its destructor:
  // the threads started and ended there call the functions below.
  void Start();
  void Stop();

  // Creates the device of a volume that has none. `name` is for the device and its UUID. EBUSY if a dead
  // process left it in use.
  virtual std::unique_ptr<VolumeDevice> MakeDevice(const VolumeFile& volume,
                                                   std::shared_ptr<const LoopDevice> base,
                                                   const std::string& name,
                                                   bool writable) const = 0;
  // Creates the content of a new volume apart from its header, to which this may add; null if everything is
  // in its file. Durable with the file.
  virtual std::unique_ptr<NewContent> MakeContent(VolumeFile& volume, const TemplateInfo& base) = 0;
  // The same for a copy; `volume.header` becomes the source's header of that moment.
  virtual std::unique_ptr<NewContent> CopyContent(const VolumeFile& source, VolumeFile& volume) = 0;
  // Removes that volume's file, or renames it so that it is no longer a volume's.
  virtual void TakeAway(const VolumeId& id) = 0;
  // The space into which volumes can still write, including the limits of all layers below.
  virtual DiskSpace Room() const = 0;
  // Periodic work, called by the thread that watches the space.
  virtual void Tend() {}
  // The name of the scarce resource in messages: "the disk of the store".
  virtual std::string RoomName() const = 0;
  // Whether discards of the volumes should be passed on to the layer below.
  virtual bool discard() const noexcept { return false; }

  std::shared_ptr<Activation> Active(const VolumeId& id) const { return table_->Get(id); }
  const TemplateStore& template_store() const noexcept { return templates_; }
  UniqueFd OpenFile(const VolumeId& id) const;
  VolumeHeader HeaderOf(const VolumeId& id) const;
  const DmHome& home() const noexcept { return home_; }
  const std::string& device_prefix() const noexcept { return device_prefix_; }
  void RequireWritable(const std::string& attempted) const;

  static constexpr char kMakeRoom[] = "Delete snapshots, or free space on the disk";

 private:
  std::unique_ptr<Activation> Activate(const VolumeId& id) const;
  void Copy(const VolumeId& source, const VolumeId& target, bool read_only,
            const std::string& operation);
  void SyncMeta() const;

  const DmHome home_;
  const BackendOptions options_;
  const std::string device_prefix_;
  mutable TemplateStore templates_;
  const std::shared_ptr<ActivationTable> table_;
  VolumeReviver reviver_;
  std::optional<SpaceWatch> watch_;  // ends first
};

}  // namespace ckptfs
