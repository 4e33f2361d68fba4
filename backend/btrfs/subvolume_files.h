// Files of a read-only btrfs subvolume, looked at by path.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/compare/volume_files.h"

namespace ckptfs {

// A file's extent item, as it stands in the volume's tree.
struct ExtentItem {
  uint64_t offset = 0;
  std::string data;
  bool operator==(const ExtentItem&) const = default;
};

// VolumeFiles on btrfs, of one subvolume.
class SubvolumeFiles final : public VolumeFiles {
 public:
  explicit SubvolumeFiles(int root_fd) : VolumeFiles(root_fd) {}

  // In time proportional to their number.
  std::vector<std::string> PathsOf(uint64_t inode) const override;

  // Two subvolumes of one filesystem: no extent is written twice while two refer to it.
  bool SharesContents(uint64_t inode, const VolumeFiles& other,
                      uint64_t other_inode) const override;

 private:
  uint32_t GenerationOf(int fd, const std::string& path) const override;
  bool IsStub(uint64_t inode) const override;

  // Where the contents of a file are on disk, and small contents themselves.
  std::vector<ExtentItem> ExtentsOf(uint64_t inode) const;
};

}  // namespace ckptfs
