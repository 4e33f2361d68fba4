// Block devices made of files.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"

namespace ckptfs {

// What direct I/O wants of every disk in use, and not more than any filesystem's block.
inline constexpr uint32_t kLoopSectorBytes = 4096;

struct LoopOptions {
  bool read_only = false;
  uint32_t sector_bytes = kLoopSectorBytes;  // the unit that the device is read and written by
  uint64_t offset_bytes = 0;  // where in the file the device begins: whole blocks of 4 KiB
  std::string name;           // what losetup(8) shows as the backing file; for people only
};

// A loop device whose backing file is an open descriptor's. It detaches itself (autoclear) when the
// last user closes it: this object, a mount made from it, a device-mapper table. So it may be
// destroyed while a mount still uses it, and a process that dies by any signal leaves none behind.
//
// Direct I/O is used where the file's filesystem can do it, so that data is not cached twice and a
// flush writes no more than what is meant; otherwise the device works through the page cache and a
// warning is logged.
//
// Move-only. Functions may be called by one thread at a time.
class LoopDevice {
 public:
  // Attaches `file_fd` (which the caller may close afterwards). Throws Error.
  LoopDevice(int file_fd, const LoopOptions& options);

  const std::string& path() const noexcept { return path_; }  // "/dev/loop7"
  int fd() const noexcept { return fd_.get(); }
  bool direct_io() const noexcept { return direct_io_; }
  // "7:3", which needs no node in /dev.
  std::string Number() const;
  uint64_t SizeBytes() const;

  // Takes over the file's new size after it was made longer.
  void UpdateSize();

 private:
  std::string path_;
  UniqueFd fd_;
  bool direct_io_ = false;
};

// What a loop device has attached.
struct AttachedFile {
  std::string device;  // "/dev/loop7"
  std::string
      path;  // of the file, as the kernel tells it here; where it is not seen from here, another
  uint64_t filesystem = 0;  // st_dev
  uint64_t inode = 0;       // st_ino
};

// All loop devices of the machine, of those whose file's path may be meant. (Opening a device delays its
// detaching, and of a file on a filesystem that does not answer nobody learns anything: it is a scout that
// asks, and for `time_max` at most.) What cannot be told is left out.
std::vector<AttachedFile> ListAttachedFiles(
    const std::function<bool(const std::string& path)>& may_be_meant,
    std::chrono::milliseconds time_max = std::chrono::seconds(2));

// The path of a loop device that this file is attached to, if there is one. A device whose last user
// died a moment ago is still being detached by the kernel: that is waited for, up to two seconds.
std::optional<std::string> WaitUntilDetached(int file_fd);

}  // namespace ckptfs
