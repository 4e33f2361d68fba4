// An in-memory btrfs filesystem for tests, and helper calls for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/unique_fd.h"
#include "backend/mount/loop_device.h"

namespace ckptfs {

// A real btrfs on a loop device over a memfd, mounted detached, without a path. It needs no cleanup:
// everything goes with the last descriptor, however the test ends.
class ScratchBtrfs {
 public:
  // Throws Error if the machine does not support it: no loop devices, not root, no mkfs.btrfs.
  ScratchBtrfs();

  int root_fd() const { return root_.get(); }

  // Each returns a descriptor of the new subvolume's root. Names are single path components.
  UniqueFd MakeSubvolume(const std::string& name);
  UniqueFd Snapshot(int subvolume_fd, const std::string& name, bool read_only = true);
  void Delete(const std::string& name);
  void Sync();

 private:
  UniqueFd OpenSubvolume(const std::string& name) const;

  UniqueFd image_;
  std::optional<LoopDevice> device_;
  UniqueFd root_;
};

// File operations by path below a directory. Each makes one change and throws Error on failure. Paths are
// limited to PATH_MAX.
class Tree {
 public:
  explicit Tree(int root_fd) : fd_(root_fd) {}

  void Write(const std::string& path, std::string_view content) const;  // truncates or creates
  void WriteAt(const std::string& path, off_t offset, std::string_view content) const;
  void Truncate(const std::string& path, off_t size) const;
  void Allocate(const std::string& path, int mode, off_t offset, off_t size) const;
  void Reflink(const std::string& from, const std::string& to) const;  // contents only
  void MakeDirectory(const std::string& path) const;
  void MakeNode(const std::string& path, mode_t mode, dev_t device = 0) const;
  void Symlink(const std::string& target, const std::string& path) const;
  void Link(const std::string& path, const std::string& link) const;
  void Rename(const std::string& from, const std::string& to, unsigned flags = 0) const;
  void Unlink(const std::string& path) const;
  void RemoveDirectory(const std::string& path) const;
  void Chmod(const std::string& path, mode_t mode) const;
  void Chown(const std::string& path, uid_t owner, gid_t group) const;
  void SetXattr(const std::string& path, const std::string& name, std::string_view value) const;
  void RemoveXattr(const std::string& path, const std::string& name) const;
  void SetFlags(const std::string& path, int flags) const;  // as chattr
  int64_t Mtime(const std::string& path) const;
  void SetMtime(const std::string& path, int64_t mtime_ns) const;
  void SetAtime(const std::string& path, int64_t atime_ns) const;
  UniqueFd Open(const std::string& path, int flags) const;

 private:
  int fd_;
};

}  // namespace ckptfs
