// A volume in use: its device, and the filesystem on it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"
#include "backend/base/uuid.h"
#include "backend/dm/image_filesystem.h"
#include "backend/dm/volume_device.h"
#include "backend/dm/volume_file.h"
#include "backend/mount/access_times.h"

namespace ckptfs {

struct ActivationOptions {
  bool never_write = false;  // the store is read-only: the journal is not replayed either
  AccessTimes access_times;
  bool discard = false;  // pass discards of deleted blocks to the device
};

// Mounts the filesystem on a volume's device, detached, and releases both in the destructor. While a writable
// volume is active, the header of its file says "in use": so after a crash it is known that the journal needs
// replay and that the marker is stale.
//
// If a file is still open at the end (by a program, through FUSE passthrough), filesystem and device go away
// when it is closed.
//
// A filesystem "stops" (refuses all changes) when the storage below cannot take its writes; the kernel may
// then give up the device as well. What was durable before is intact, as after a power failure, and Revive
// mounts it again.
//
// Thread-safe.
class Activation {
 public:
  // Creates the device of a volume, from its open file and its header. Called in the constructor and in
  // Revive.
  using DeviceMaker =
      std::function<std::unique_ptr<VolumeDevice>(int file_fd, const VolumeHeader& header)>;

  // `file` is the volume's file, open for writing unless the volume is read-only or `never_write`; the same
  // holds for the device made by `make_device`. Throws Error: EUCLEAN, EIO.
  Activation(const VolumeId& id, UniqueFd file, DeviceMaker make_device,
             const ImageFilesystem& filesystem, const ActivationOptions& options);
  ~Activation();
  Activation(const Activation&) = delete;
  Activation& operator=(const Activation&) = delete;

  // Valid for the lifetime of this object; a revival replaces it.
  int root_fd() const noexcept { return root_fd_; }
  const ImageFilesystem& filesystem() const noexcept { return filesystem_; }
  const VolumeId& id() const noexcept { return id_; }

  // Whether the filesystem of a writable volume had stopped at the last `LookAfter`.
  bool has_stopped() const noexcept { return has_stopped_; }
  struct Condition {
    bool has_stopped = false;
    bool device_is_lost = false;  // given up by the kernel, e.g. because the disk below is full
  };
  Condition LookAfter();
  // For a stopped filesystem. Files opened before stay on the old one, where all access fails, which is
  // harmless. Throws Error if it is still stopped.
  void Revive();

  // Backend::ChangeMarker.
  uint64_t Marker();
  // Makes all data written so far durable.
  void Sync();
  // Makes the volume read-only, as Backend::Seal. EBUSY if a file is open for writing.
  void Seal();
  // Lets the files of a writable volume take at most that many more bytes of its device; further writes get
  // ENOSPC. Returns whether that is less than the free space of its filesystem.
  bool LimitGrowth(uint64_t bytes);
  // Calls `copy`, which copies the device's content, at one moment of the filesystem, while writers wait.
  // Returns the volume's header of that moment; the caller writes the copy's header. EIO if the filesystem
  // has stopped.
  VolumeHeader CopyAt(const std::function<void()>& copy);

 private:
  // Throws Error.
  void MountFilesystem() REQUIRES(mutex_);
  void MarkInUse() REQUIRES(mutex_);
  // `own_writes`: the maximum of bytes that the filesystem has written by itself since `unchanged_up_to_`.
  void UpdateMarker(uint64_t own_writes) REQUIRES(mutex_);
  void Close();
  void SaveHeader(const VolumeHeader& header) REQUIRES(mutex_);
  Condition Look() const REQUIRES(mutex_);
  void RequireSound(const std::string& attempted) const REQUIRES(mutex_);

  const VolumeId id_;
  const ImageFilesystem& filesystem_;
  const ActivationOptions options_;
  const DeviceMaker make_device_;
  const UniqueFd file_;
  std::atomic<int> root_fd_{-1};
  std::atomic<bool> has_stopped_{false};
  Mutex mutex_;
  VolumeHeader header_ GUARDED_BY(mutex_);
  bool writable_ GUARDED_BY(mutex_);
  // Null, like the root: the last revival failed.
  std::unique_ptr<VolumeDevice> device_ GUARDED_BY(mutex_);
  std::vector<UniqueFd> former_roots_ GUARDED_BY(mutex_);  // of stopped filesystems
  UniqueFd root_ GUARDED_BY(mutex_);
  uint64_t errors_at_mount_ GUARDED_BY(mutex_) = 0;  // ImageFilesystem::ErrorCount
  // The device's count of written bytes up to which nothing has changed since `marker` was set; empty:
  // unknown.
  std::optional<uint64_t> unchanged_up_to_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
