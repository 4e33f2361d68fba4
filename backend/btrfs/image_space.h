// Keeps the filesystem in a sparse image consistent with the space on its disk.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <set>
#include <thread>
#include <utility>

#include "backend/base/mutex.h"
#include "backend/base/right_of_way.h"
#include "backend/base/unique_fd.h"
#include "backend/btrfs/block_groups.h"
#include "backend/btrfs/disk_fullness.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {

// If btrfs cannot write its metadata because the disk below the image is full, it turns read-only for all
// workspaces until it is mounted again: one user who writes much would stop everybody. So:
// - While the image promises more than its disk has, a file in it, the ballast, takes the excess. It contains no
//   data and takes nothing of the disk. Programs that write too much get "no space left" from btrfs, as on any
//   full disk, and everything else goes on.
// - The blocks of metadata are allocated on the disk, where others could otherwise use them up. Always: other
//   programs can fill a disk, however large, within a moment. Enough is left free for those who do not write
//   files (FreeSpaceFloor). (On tmpfs, where this would take memory, only while there is a ballast.)
// - Blocks deleted in the image are returned to the disk, except in metadata block groups. So the image must
//   not be mounted with `discard`.
//
// The first holds by itself, however fast programs write. A thread follows what others take from the disk or
// free, and new block groups: once a second, and more often when space is short.
//
// Owned by the backend. `root_fd` is the root of the image's filesystem, `image_fd` the image; these and
// `way` outlive this object. Thread-safe.
class ImageSpace {
 public:
  // On return the first look is done. Failures are logged: a store works without this.
  ImageSpace(int root_fd, int image_fd, RightOfWay& way);
  ~ImageSpace();
  ImageSpace(const ImageSpace&) = delete;
  ImageSpace& operator=(const ImageSpace&) = delete;

  // The part of the image's filesystem that the ballast takes.
  uint64_t ballast() const noexcept { return ballast_; }
  // As of now.
  const DiskFullness& LookAtDisk() const;

  // Looks at the disk now, as the thread does. Failures are logged.
  void Follow() noexcept;

  // Returns deleted blocks to the disk now; returns how many bytes it has got back. Throws Error.
  uint64_t ReturnNow();

 private:
  using Clock = std::chrono::steady_clock;
  using Place = std::pair<uint64_t, uint64_t>;  // offset in the image, length

  void Run(const std::stop_token& stop);
  std::chrono::milliseconds LookAndLog() noexcept;
  std::chrono::milliseconds Look();
  uint64_t Wanted() const;
  bool IsRight(uint64_t wanted) const;
  void Limit();
  void Commit() const;
  void Grow(uint64_t wanted);
  void Shrink(uint64_t wanted);
  bool BackMetadata();
  bool BackPlace(uint64_t place, uint64_t length) const;
  bool IsBackingWorthwhile() const;
  void GiveBack();
  bool HasMoreUnused(uint64_t bytes) const;
  void ReturnUnused();
  bool GiveBackUnusedOf(const BlockGroup& group);
  uint64_t UnusedInImage() const;

  const int root_fd_;
  const int image_fd_;
  RightOfWay& way_;
  UniqueFd file_;
  std::atomic<uint64_t> ballast_;
  mutable DiskFullness fullness_;
  std::set<Place> backed_;  // the metadata whose blocks are allocated
  Clock::time_point next_return_;
  uint64_t kept_ = 0;  // UnusedInImage after the last return
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: started after and joined before all other members
};

// The ballast of a store that is mounted read-only, as the last mount left it.
uint64_t BallastLeftBy(int root_fd);

}  // namespace ckptfs
