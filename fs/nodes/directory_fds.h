// Descriptors of the directories that requests have just used.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>

#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// A descriptor of a directory that the kernel knows. ESTALE also if what has its number and generation is
// none: two workspaces can give both to two files that they make in one transaction, and a state of one
// can take the place of the other's.
UniqueFd OpenDirectory(const Volume& volume, FileId directory, int flags);

// Requests on names come in bursts: a program that unpacks an archive makes the kernel ask for the
// attributes of one directory, look a name up in it and create the file there, thousands of times.
// To open the directory by its handle anew for each of these costs as much as the calls on it. So
// O_PATH descriptors are kept for a moment: at most kMax, none longer than kIdle after its last use
// (DropIdle, which somebody must call), and none of a directory that has been removed or of a volume
// that is let go of, which it would keep from being destroyed (Drop).
//
// Owned by the mount. Any thread may call anything.
class DirectoryFds {
 public:
  static constexpr size_t kMax = 128;
  static constexpr std::chrono::milliseconds kIdle{500};

  // A descriptor of `directory` (which is one) in `volume`. Throws what Volume::OpenInode throws.
  std::shared_ptr<const UniqueFd> Open(const std::shared_ptr<Volume>& volume, FileId directory);

  // The directory has been removed.
  void Drop(const Volume& volume, uint64_t inode);
  // Nothing of the volume will be asked for.
  void Drop(const VolumeId& volume);
  // Returns whether any is left.
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
  struct Entry {
    Key key;
    std::shared_ptr<Volume> volume;  // its address names no other meanwhile
    std::shared_ptr<const UniqueFd> fd;
    std::chrono::steady_clock::time_point used_at;
  };
  using Order = std::list<Entry>;  // most recently used first

  // Moves what `goes` says to `dropped`, which is closed after the lock is given back.
  template <typename Goes>
  void RemoveIf(Order& dropped, const Goes& goes) EXCLUDES(mutex_);

  Mutex mutex_;
  Order order_ GUARDED_BY(mutex_);
  std::unordered_map<Key, Order::iterator, KeyHash> by_key_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
