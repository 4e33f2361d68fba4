// An open btrfs subvolume.
#pragma once

#include "backend/interface/backend.h"

namespace ckptfs {

// Volume on btrfs. Holds a descriptor of the subvolume's root, which also keeps the private mount and its
// loop device alive; so it may outlive the Backend that opened it. Immutable, so thread-safe.
class BtrfsVolume final : public Volume {
 public:
  // `root_fd` is the root directory of a subvolume, opened O_RDONLY.
  BtrfsVolume(VolumeId id, UniqueFd root_fd);

  int root_fd() const noexcept override { return root_fd_.get(); }
  uint64_t root_inode() const noexcept override;
  UniqueFd OpenInode(FileId file, int flags) const override;
  FileId Identify(int dir_fd, const char* name) const override;
  std::string PathOf(uint64_t inode) const override;

 private:
  UniqueFd root_fd_;
  uint64_t root_id_;  // of the subvolume; part of each file handle
};

}  // namespace ckptfs
