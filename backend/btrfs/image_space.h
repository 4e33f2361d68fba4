// Keeps the filesystem in a sparse image and the disk below it in step.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "backend/base/right_of_way.h"
#include "backend/base/unique_fd.h"
#include "backend/btrfs/block_groups.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {

// When btrfs cannot write its metadata, as the disk below the image is full, it turns read-only for all
// workspaces until it is mounted anew: one user who writes much would stop everybody. So, while the image has
// more to give than its disk:
// - What it has too much is taken by a file in it, the ballast, which holds nothing and takes nothing of the
//   disk. Who writes too much gets "no space left" from btrfs, as on any full disk, and all goes on.
// - The places of metadata are allocated on the disk, so that others can fill that. Of it stays free what those
//   who write no files may need (FreeSpaceFloor).
// And always: what was deleted in the image is given back to the disk, but for the places of metadata. So the
// image is not to be mounted with `discard`.
//
// The first of these holds by itself, however fast somebody writes. A thread follows what others take of the
// disk or give back: once a second, and more often when there is little.
//
// Owned by the backend. `root_fd` is the root of the image's filesystem, `image_fd` the image; these and
// `way` outlive this. Any thread may ask.
class ImageSpace {
 public:
  // The first look is over on return. Failures are logged: a store is usable without.
  ImageSpace(int root_fd, int image_fd, RightOfWay& way);
  ~ImageSpace();
  ImageSpace(const ImageSpace&) = delete;
  ImageSpace& operator=(const ImageSpace&) = delete;

  // Of the image's filesystem what the ballast takes.
  uint64_t ballast() const noexcept { return ballast_; }

 private:
  using Clock = std::chrono::steady_clock;

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
  void GiveBack();
  bool GiveBackUnusedOf(const BlockGroup& group);
  uint64_t UnusedInImage() const;

  const int root_fd_;
  const int image_fd_;
  RightOfWay& way_;
  UniqueFd file_;
  std::atomic<uint64_t> ballast_;
  Clock::time_point next_backing_, next_return_;
  uint64_t kept_ = 0;  // of UnusedInImage, when all was given back that could be
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: starts when all else is there, ends first
};

// The ballast of a store that is mounted read-only, as its last mount has left it.
uint64_t BallastLeftBy(int root_fd);

}  // namespace ckptfs
