// A volume while somebody uses it: its device, and the filesystem on it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "backend/base/uuid.h"
#include "backend/dm/image_filesystem.h"
#include "backend/dm/volume_device.h"
#include "backend/dm/volume_file.h"
#include "backend/mount/access_times.h"

namespace ckptfs {

struct ActivationOptions {
  bool never_write = false;  // the store is read-only: not even a journal is played back
  AccessTimes access_times;
  bool discard = false;  // what files give up is given back below
};

// Mounts what is on a volume's device where nobody sees it, and lets both go at the end. While a writable
// one lives the header of the volume's file says "in use", so that after a crash it is known that a
// journal waits and that the marker is out of date.
//
// If something holds a file of it open at the end (a program, through FUSE passthrough), filesystem and
// device go with that.
//
// A filesystem stops (Linux says so of one that lets nothing change any more) when what is below cannot
// take its writes; then the kernel may give up the device as well. What was durable before is whole, as
// after a power cut, and Revive mounts it anew.
//
// Any thread may call any function.
class Activation {
 public:
  // Makes the device of a volume whose file, open, and header these are. Called in the constructor and in
  // Revive.
  using DeviceMaker =
      std::function<std::unique_ptr<VolumeDevice>(int file_fd, const VolumeHeader& header)>;

  // `file` is the volume's file, open for writing unless the volume is read-only or `never_write`, as is
  // what `make_device` makes. Throws Error: EUCLEAN, EIO.
  Activation(const VolumeId& id, UniqueFd file, DeviceMaker make_device,
             const ImageFilesystem& filesystem, const ActivationOptions& options);
  ~Activation();
  Activation(const Activation&) = delete;
  Activation& operator=(const Activation&) = delete;

  // Valid until the end; after a revival another one.
  int root_fd() const noexcept { return root_fd_; }
  const ImageFilesystem& filesystem() const noexcept { return filesystem_; }
  const VolumeId& id() const noexcept { return id_; }

  // Whether the filesystem of a writable volume has stopped, as `LookAfter` last found.
  bool has_stopped() const noexcept { return has_stopped_; }
  struct Condition {
    bool has_stopped = false;
    bool device_is_lost = false;  // given up by the kernel, as it does when the disk below is full
  };
  Condition LookAfter();
  // Of one that has stopped. Who has a file open stays with what there was, which fails, and can do no
  // harm. Throws Error: it has stopped still.
  void Revive();

  // Backend::ChangeMarker.
  uint64_t Marker();
  // Makes durable what was written so far.
  void Sync();
  // Makes it read-only, as Backend::Seal. EBUSY if something is open for writing.
  void Seal();
  // Lets the files of a writable volume take that many bytes more of its device, and no more: ENOSPC for
  // whoever writes. Returns whether that is less than what its filesystem has left by itself.
  bool LimitGrowth(uint64_t bytes);
  // Calls `copy`, which is to copy what is behind the device, at one moment of the filesystem, and returns
  // what the volume's header was then; writers wait meanwhile. The header of the copy is to be written by
  // the caller. EIO if the filesystem has stopped.
  VolumeHeader CopyAt(const std::function<void()>& copy);

 private:
  // Throws Error.
  void MountFilesystem();
  void MarkInUse();
  // `own_writes`: bytes that the filesystem has written by itself since `unchanged_up_to_`, at most.
  void UpdateMarker(uint64_t own_writes);
  void Close();
  void SaveHeader(const VolumeHeader& header);
  Condition Look() const;
  void RequireSound(const std::string& attempted) const;

  const VolumeId id_;
  const ImageFilesystem& filesystem_;
  const ActivationOptions options_;
  const DeviceMaker make_device_;
  const UniqueFd file_;
  std::atomic<int> root_fd_{-1};
  std::atomic<bool> has_stopped_{false};
  std::mutex mutex_;  // guards all that follows
  VolumeHeader header_;
  bool writable_;
  std::unique_ptr<VolumeDevice> device_;  // null, as is the root: a revival has not succeeded
  std::vector<UniqueFd> former_roots_;    // of filesystems that have stopped
  UniqueFd root_;
  uint64_t errors_at_mount_ = 0;  // ImageFilesystem::ErrorCount
  // The device's count of bytes written up to which nothing has changed since `marker` was new; empty: not
  // known.
  std::optional<uint64_t> unchanged_up_to_;
};

}  // namespace ckptfs
