// Files of a read-only volume on ext4 or xfs, accessed by path.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "backend/compare/path_tree.h"
#include "backend/compare/volume_files.h"

namespace ckptfs {

// VolumeFiles for filesystems where finding a path requires a walk, and where files of two volumes never
// share known blocks.
class ImageFiles final : public VolumeFiles {
 public:
  ImageFiles(int root_fd, WorkLimits& limits) : VolumeFiles(root_fd, limits) {}

  // The first call walks the whole volume.
  void ForEachPathOf(uint64_t inode,
                     const std::function<bool(const std::string& path)>& visit) const override;
  bool SharesContents(uint64_t /*inode*/, const VolumeFiles& /*other*/,
                      uint64_t /*other_inode*/) const override {
    return false;
  }

 private:
  // All paths of files with more than one name.
  struct Links {
    explicit Links(WorkLimits& limits) : paths(limits), held(limits) {}
    PathTree paths;
    HeldBytes held;
    std::multimap<uint64_t, PathId> by_inode;
  };

  uint32_t GenerationOf(int fd, const std::string& path) const override;
  void WalkLinks(Links& links) const;

  mutable std::optional<Links> links_;  // once they have been collected
};

}  // namespace ckptfs
