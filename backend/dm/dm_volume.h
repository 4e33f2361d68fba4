// An open volume on a device.
#pragma once

#include <memory>

#include "backend/dm/activation.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// Volume on ext4 or xfs. Keeps its filesystem mounted. Immutable, so thread-safe.
class DmVolume final : public Volume {
 public:
  DmVolume(VolumeId id, std::shared_ptr<const Activation> activation);

  int root_fd() const noexcept override { return activation_->root_fd(); }
  uint64_t root_inode() const noexcept override { return root_inode_; }
  UniqueFd OpenInode(FileId file, int flags) const override;
  bool ReusesInodeNumbers() const noexcept override { return true; }
  FileId Identify(int dir_fd, const char* name) const override;
  // A name by which the file was looked up, if the kernel still caches it.
  std::string PathOf(uint64_t inode) const override;
  bool HasStopped() const noexcept override { return activation_->has_stopped(); }

 private:
  std::shared_ptr<const Activation> activation_;
  uint64_t root_inode_ = 0;
  int32_t handle_type_ = 0;
};

}  // namespace ckptfs
