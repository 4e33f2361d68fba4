// A volume while somebody uses it: its device, and the filesystem on it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "backend/base/unique_fd.h"
#include "backend/base/uuid.h"
#include "backend/dm/image_filesystem.h"
#include "backend/dm/volume_device.h"
#include "backend/dm/volume_file.h"

namespace ckptfs {

struct ActivationOptions {
  bool never_write = false;  // the store is read-only: not even a journal is played back
  bool no_atime = false;
  bool discard = false;  // what files give up is given back below
};

// Mounts what is on a volume's device where nobody sees it, and lets both go at the end. While a writable
// one lives the header of the volume's file says "in use", so that after a crash it is known that a
// journal waits and that the marker is out of date.
//
// If something holds a file of it open at the end (a program, through FUSE passthrough), filesystem and
// device go with that.
//
// Any thread may call any function.
class Activation {
 public:
  // `file` is the volume's file, open for writing unless the volume is read-only or `never_write`, as is
  // `device`. Throws Error: EUCLEAN, EIO.
  Activation(const VolumeId& id, UniqueFd file, std::unique_ptr<VolumeDevice> device,
             const ImageFilesystem& filesystem, const ActivationOptions& options);
  ~Activation();
  Activation(const Activation&) = delete;
  Activation& operator=(const Activation&) = delete;

  int root_fd() const noexcept { return root_.get(); }
  const ImageFilesystem& filesystem() const noexcept { return filesystem_; }

  // Backend::ChangeMarker.
  uint64_t Marker();
  // Makes durable what was written so far.
  void Sync();
  // Makes it read-only, as Backend::Seal. EBUSY if something is open for writing.
  void Seal();
  // Lets the files of a writable volume take that many bytes more of its device, and no more: ENOSPC for
  // whoever writes. Returns whether that is less than what its filesystem has left by itself. Nothing is
  // done for a filesystem that cannot be told.
  bool LimitGrowth(uint64_t bytes);
  // Calls `copy`, which is to copy what is behind the device, at one moment of the filesystem, and returns
  // what the volume's header was then; writers wait meanwhile. The header of the copy is to be written by
  // the caller. EIO if the filesystem has stopped.
  VolumeHeader CopyAt(const std::function<void()>& copy);

 private:
  void MountFilesystem(const ActivationOptions& options);
  // `own_writes`: bytes that the filesystem has written by itself since `unchanged_up_to_`, at most.
  void UpdateMarker(uint64_t own_writes);
  void Close();
  void SaveHeader(const VolumeHeader& header);
  void RequireSound() const;

  const VolumeId id_;
  const ImageFilesystem& filesystem_;
  const UniqueFd file_;
  std::mutex mutex_;  // guards all that follows
  VolumeHeader header_;
  bool writable_;
  std::unique_ptr<VolumeDevice> device_;
  UniqueFd root_;
  // The device's count of bytes written up to which nothing has changed since `marker` was new; empty: not
  // known.
  std::optional<uint64_t> unchanged_up_to_;
};

}  // namespace ckptfs
