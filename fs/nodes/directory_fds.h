// A cache of descriptors of recently used directories.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "backend/base/recently_used.h"
#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// Opens a directory that the kernel knows. ESTALE also if the inode with this number and generation is not a
// directory: two workspaces can give the same number and generation to files created in one transaction, and
// a state of one can replace a state of the other.
UniqueFd OpenDirectory(const Volume& volume, FileId directory, int flags);

// Requests on names come in bursts. A program that unpacks an archive makes the kernel ask for the attributes
// of one directory, look up a name in it and create the file there, thousands of times. Opening the directory
// by handle each time costs as much as the calls on it. So O_PATH descriptors are kept for a moment: at most
// kMax, none longer than kIdle after its last use (DropIdle, which must be called for this). Descriptors of a
// removed directory or of a released volume are dropped (Drop), as they would keep it from being destroyed.
//
// Owned by the mount. Thread-safe.
class DirectoryFds {
 public:
  static constexpr size_t kMax = 128;
  static constexpr std::chrono::milliseconds kIdle{500};

  // A descriptor of `directory`, which must be a directory, in `volume`. Throws what Volume::OpenInode
  // throws.
  std::shared_ptr<const UniqueFd> Open(const std::shared_ptr<Volume>& volume, FileId directory);

  // The directory has been removed.
  void Drop(const Volume& volume, uint64_t inode);
  // The volume will not be used again.
  void Drop(const VolumeId& volume);
  // Returns whether any descriptor is left.
  bool DropIdle();

 private:
  struct Key {
    const Volume* volume = nullptr;
    FileId file;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const noexcept {
      return std::hash<uint64_t>{}(key.file.inode) ^ std::hash<const Volume*>{}(key.volume);
    }
  };
  struct Kept {
    std::shared_ptr<Volume> volume;  // keeps its address from being reused
    std::shared_ptr<const UniqueFd> fd;
  };

  RecentlyUsed<Key, Kept, KeyHash> kept_{kMax};
};

}  // namespace ckptfs
