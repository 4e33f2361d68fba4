// The images from which volumes on device-mapper are made.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/dm/image_filesystem.h"
#include "backend/dm/image_filler.h"
#include "backend/interface/backend.h"
#include "backend/interface/templates.h"
#include "backend/mount/loop_device.h"

namespace ckptfs {

// Whether a file of that name in bases/ belongs to a template.
bool IsTemplateFile(std::string_view name);

// TemplateKeeper for the directory bases/. Each template has at most one loop device, read-only, which all
// volumes on it share and which goes away with the last of them.
class TemplateStore final : public TemplateKeeper {
 public:
  struct Options {
    uint64_t default_size = 0;  // in bytes
    ImageFiller fill;           // for Flatten
    // The loop devices' sector size: at most that of the layer beside them below the volumes' devices.
    uint32_t sector_bytes = kLoopSectorBytes;
  };
  // The descriptors, of bases/ and of the volumes' directory, are borrowed.
  TemplateStore(int bases_fd, int volumes_fd, Options options);

  std::unique_ptr<PendingTemplate> Begin(const std::string& label, const std::string& filesystem,
                                         uint64_t size_bytes) override;
  TemplateInfo Import(const std::string& label, int image_fd,
                      const std::function<void(int root_fd)>& check) override;
  TemplateInfo Flatten(const std::string& label, const VolumeId& volume) override;
  bool Remove(const TemplateId& id) override;
  std::vector<TemplateInfo> List() const override;
  void Expect(const TemplateInfo& info) override;
  void Verify(const TemplateId& id) override;
  std::optional<TemplateId> TemplateOf(const VolumeId& volume) const override;
  uint64_t DiskBytes(const TemplateId& id) const override;
  uint64_t DefaultSize() const override { return options_.default_size; }

  // Removes the notes of templates without an image. If a volume is based on such a template, logs it
  // instead.
  void RemoveLoneNotes();
  // The shared loop device of a verified template. Throws as Verify does.
  std::shared_ptr<const LoopDevice> Attach(const TemplateId& id);
  // The template's description. ENOENT if there is none.
  TemplateInfo Info(const TemplateId& id) const;
  // The template of that label. ENOENT if there is none.
  TemplateId Labelled(const std::string& label) const;

 private:
  struct Known {
    TemplateInfo info;
    // The state of the file when it was verified; inode 0: not yet.
    uint64_t verified_inode = 0;
    int64_t verified_ctime_ns = 0;
    std::weak_ptr<const LoopDevice> loop;
  };

  Known& KnownLocked(const TemplateId& id) const REQUIRES(mutex_);
  UniqueFd VerifyLocked(Known& known) const;
  TemplateInfo Learn(TemplateInfo info);

  const int bases_fd_;
  const int volumes_fd_;
  const Options options_;
  mutable Mutex mutex_;
  mutable std::map<TemplateId, Known> known_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
