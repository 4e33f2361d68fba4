// Files of a read-only btrfs subvolume, accessed by path.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "backend/compare/volume_files.h"

namespace ckptfs {

// VolumeFiles for one btrfs subvolume.
class SubvolumeFiles final : public VolumeFiles {
 public:
  SubvolumeFiles(int root_fd, WorkLimits& limits) : VolumeFiles(root_fd, limits) {}

  // Takes time proportional to their number.
  void ForEachPathOf(uint64_t inode,
                     const std::function<bool(const std::string& path)>& visit) const override;

  // For two subvolumes of one filesystem: an extent referred to by both is never rewritten.
  bool SharesContents(uint64_t inode, const VolumeFiles& other,
                      uint64_t other_inode) const override;

 private:
  uint32_t GenerationOf(int fd, const std::string& path) const override;
  bool IsStub(uint64_t inode) const override;

  // The locations of a file's extents on disk, followed by inline contents. Empty if that is too much to hold
  // in memory.
  std::optional<std::string> ExtentsOf(uint64_t inode) const;
};

}  // namespace ckptfs
