// Files of a read-only btrfs subvolume, looked at by path.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "backend/compare/volume_files.h"

namespace ckptfs {

// VolumeFiles on btrfs, of one subvolume.
class SubvolumeFiles final : public VolumeFiles {
 public:
  SubvolumeFiles(int root_fd, WorkLimits& limits) : VolumeFiles(root_fd, limits) {}

  // In time proportional to their number.
  void ForEachPathOf(uint64_t inode,
                     const std::function<bool(const std::string& path)>& visit) const override;

  // Two subvolumes of one filesystem: no extent is written twice while two refer to it.
  bool SharesContents(uint64_t inode, const VolumeFiles& other,
                      uint64_t other_inode) const override;

 private:
  uint32_t GenerationOf(int fd, const std::string& path) const override;
  bool IsStub(uint64_t inode) const override;

  // Where the contents of a file are on disk, and small contents themselves, one after the other. Empty if
  // that is too much to hold.
  std::optional<std::string> ExtentsOf(uint64_t inode) const;
};

}  // namespace ckptfs
