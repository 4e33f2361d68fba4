// Files of a read-only volume on ext4 or xfs, looked at by path.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backend/compare/volume_files.h"

namespace ckptfs {

// VolumeFiles where a path is found by a walk only, and where two files of two volumes share nothing that
// can be told.
class ImageFiles final : public VolumeFiles {
 public:
  explicit ImageFiles(int root_fd) : VolumeFiles(root_fd) {}

  // The first call walks through the whole volume.
  std::vector<std::string> PathsOf(uint64_t inode) const override;
  bool SharesContents(uint64_t /*inode*/, const VolumeFiles& /*other*/,
                      uint64_t /*other_inode*/) const override {
    return false;
  }

 private:
  using Paths = std::multimap<uint64_t, std::string>;

  uint32_t GenerationOf(int fd, const std::string& path) const override;
  Paths WalkLinks() const;

  mutable std::mutex mutex_;
  mutable std::optional<Paths> links_;  // of files with more than one name
};

}  // namespace ckptfs
