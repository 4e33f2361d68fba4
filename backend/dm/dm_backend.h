// What all backends on device-mapper have in common.
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

// Backend whose volumes start as a shared read-only image. A volume is a file <uuid>.volume, which begins
// with its header, and what the heir keeps besides; it has a device and a mount only while somebody uses
// it. Of one that is being written to a snapshot is taken while the device is suspended and the filesystem
// on it frozen.
//
// A volume's file is on disk whole or not at all, and durable when a function says so: it is written under
// another name, synced, renamed, and the directory is synced.
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
  void RequireSpaceForNewVolume() const override;
  BackendHealth Health() const override;
  void OnRevival(const std::function<void(const VolumeId&)>& revived) override {
    reviver_.OnRevival(revived);
  }

 protected:
  // What a new volume has besides its file: taken back at the end of this object unless it was kept.
  class NewContent {
   public:
    NewContent() = default;
    virtual ~NewContent() = default;
    NewContent(const NewContent&) = delete;
    NewContent& operator=(const NewContent&) = delete;
    // Once the volume's file is there.
    virtual void Keep() noexcept = 0;
  };

  // A volume as its file has it.
  struct VolumeFile {
    const VolumeId& id;
    int fd = -1;
    VolumeHeader header;
  };

  DmBackend(DmHome home, const BackendOptions& options, ImageFiller fill);
  // To be called by the heir's constructor at its end, and by its destructor at its beginning: what is
  // started and ended there calls the functions below.
  void Start();
  void Stop();

  // The device of a volume that nobody has one of. `name` is for it and its UUID. EBUSY if a process that
  // died still has it.
  virtual std::unique_ptr<VolumeDevice> MakeDevice(const VolumeFile& volume,
                                                   std::shared_ptr<const LoopDevice> base,
                                                   const std::string& name,
                                                   bool writable) const = 0;
  // What a new volume has besides its header, which this may add to; null if that is all in its file.
  // Durable with the file.
  virtual std::unique_ptr<NewContent> MakeContent(VolumeFile& volume, const TemplateInfo& base) = 0;
  // The same of a copy, for which `volume.header` becomes what the source's was at that moment.
  virtual std::unique_ptr<NewContent> CopyContent(const VolumeFile& source, VolumeFile& volume) = 0;
  // Removes that volume's file, or gives it a name that is none of a volume.
  virtual void TakeAway(const VolumeId& id) = 0;
  // What volumes can still be written to, with the limits of whatever is below counted in.
  virtual DiskSpace Room() const = 0;
  // What is to be seen to now and then, by the thread that watches the space.
  virtual void Tend() {}
  // What is short if there is none, for people: "the disk of the store".
  virtual std::string RoomName() const = 0;
  // Whether what volumes give up should be told to what is below.
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
