// Loop devices.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"

namespace ckptfs {

// Required by direct I/O on every disk in use, and no larger than any filesystem's block.
inline constexpr uint32_t kLoopSectorBytes = 4096;

struct LoopOptions {
  bool read_only = false;
  uint32_t sector_bytes = kLoopSectorBytes;  // sector size of the device
  uint64_t offset_bytes = 0;  // where the device begins in the file: a multiple of 4 KiB
  std::string name;           // backing file as shown by losetup(8); for display only
};

// A loop device backed by an open file. It detaches itself (autoclear) when its last user closes it: this
// object, a mount of it, a device-mapper table. So it may be destroyed while a mount still uses it, and a
// process killed by any signal leaves none behind.
//
// Uses direct I/O if the file's filesystem supports it, so that data is not cached twice and a flush writes
// only the device's data; otherwise the device works through the page cache and a warning is logged.
//
// Move-only. Used by one thread at a time.
class LoopDevice {
 public:
  // Attaches `file_fd` (which the caller may close afterwards). Throws Error.
  LoopDevice(int file_fd, const LoopOptions& options);

  const std::string& path() const noexcept { return path_; }  // "/dev/loop7"
  int fd() const noexcept { return fd_.get(); }
  bool direct_io() const noexcept { return direct_io_; }
  // "7:3"; needs no node in /dev.
  std::string Number() const;
  uint64_t SizeBytes() const;

  // Adopts the file's new size after it was extended.
  void UpdateSize();

 private:
  std::string path_;
  UniqueFd fd_;
  bool direct_io_ = false;
};

// The backing file of a loop device.
struct AttachedFile {
  std::string device;  // "/dev/loop7"
  std::string
      path;  // of the file, as the kernel tells it here; where it is not seen from here, another
  uint64_t filesystem = 0;  // st_dev
  uint64_t inode = 0;       // st_ino
};

// The machine's loop devices for which `may_be_meant` accepts the file's path. (Opening a device delays its
// detaching, and a file on a filesystem that does not answer cannot be examined: so a scout asks, for at most
// `time_max`.) Omits what is unknown.
std::vector<AttachedFile> ListAttachedFiles(
    const std::function<bool(const std::string& path)>& may_be_meant,
    std::chrono::milliseconds time_max = std::chrono::seconds(2));

// The path of a loop device to which this file is attached, if there is one. If a device's last user died a
// moment ago, the kernel is still detaching it: waits for that, up to two seconds.
std::optional<std::string> WaitUntilDetached(int file_fd);

}  // namespace ckptfs
