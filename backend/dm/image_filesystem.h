// The filesystems inside of volumes: the differences between ext4 and xfs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "backend/base/unique_fd.h"
#include "backend/mount/access_times.h"
#include "backend/mount/detached_mount.h"

namespace ckptfs {

enum class ImageMount {
  kWritable,        // replays the journal
  kSettled,         // read-only, of a frozen or unmounted image: needs no journal
  kWithoutJournal,  // read-only, without journal replay: as of its last commit
};

struct ImageMountOptions {
  ImageMount how = ImageMount::kWritable;
  AccessTimes access_times;
  bool discard = false;  // pass discards of deleted blocks to the device
};

// One of these filesystems. Stateless.
class ImageFilesystem {
 public:
  // EINVAL for any other name.
  static const ImageFilesystem& Named(std::string_view name);
  // Detected from the image; null if it is neither.
  static const ImageFilesystem* In(int image_fd);

  ImageFilesystem(const ImageFilesystem&) = delete;
  ImageFilesystem& operator=(const ImageFilesystem&) = delete;
  virtual ~ImageFilesystem() = default;

  virtual std::string name() const = 0;
  // The unit, in bytes, in which the filesystem in this image accesses its device: at least the device's
  // sector size, or it cannot be mounted.
  virtual uint64_t SectorBytes(int image_fd) const = 0;
  // The required feature that this filesystem lacks; empty if it has all.
  virtual std::string Lack(int /*image_fd*/) const { return {}; }
  // The smallest image that it fits into, in bytes.
  virtual uint64_t MinBytes() const = 0;
  // Creates it, empty (except for what mkfs itself adds), in a fully sparse image.
  virtual void Make(int image_fd) const = 0;
  // Works even while clones of it are mounted.
  UniqueFd Mount(const std::string& device, const ImageMountOptions& wanted) const;
  // Makes a filesystem that was just mounted for writing write now what it would otherwise write later, by
  // itself and without a change.
  virtual void Settle(int /*root_fd*/) const {}
  // The number of errors since its creation that stop it, see Activation. `root_fd` is on a mount of it.
  virtual uint64_t ErrorCount(int root_fd) const = 0;
  // Activation::LimitGrowth.
  virtual bool LimitGrowth(int root_fd, uint64_t bytes) const = 0;
  // The maximum of bytes that freezing, and thawing, write by themselves, each once. Together that is less
  // than any change of a file writes.
  virtual uint64_t FreezeBytes() const = 0;
  virtual uint64_t ThawBytes() const = 0;

  // The generation that makes a file handle match whichever file has that inode number now. `root_fd` is on a
  // mount of it. Throws Error ESTALE if there is no such file.
  virtual uint32_t AnyGeneration(int root_fd, uint64_t inode) const = 0;

 protected:
  ImageFilesystem() = default;

 private:
  virtual void AddOptions(ImageMount how, DetachedMountOptions& options) const = 0;
};

}  // namespace ckptfs
