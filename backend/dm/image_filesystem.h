// The filesystems that can be inside of a volume: what differs between ext4 and xfs.
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
  kWritable,        // plays back what a journal holds
  kSettled,         // read-only, of an image that was frozen or unmounted: needs no journal
  kWithoutJournal,  // read-only, of an image whose journal cannot be played back: as of its last commit
};

struct ImageMountOptions {
  ImageMount how = ImageMount::kWritable;
  AccessTimes access_times;
  bool discard = false;  // tell the device of blocks that files give up
};

// One of them. A value without state of its own.
class ImageFilesystem {
 public:
  // EINVAL for a name that is none of them.
  static const ImageFilesystem& Named(std::string_view name);
  // By what is in the image; empty if it is neither.
  static const ImageFilesystem* In(int image_fd);

  ImageFilesystem(const ImageFilesystem&) = delete;
  ImageFilesystem& operator=(const ImageFilesystem&) = delete;
  virtual ~ImageFilesystem() = default;

  virtual std::string name() const = 0;
  // Of the unit that the one in this image reads and writes its device by, in bytes: no less than the
  // device's sectors have, or it cannot be mounted.
  virtual uint64_t SectorBytes(int image_fd) const = 0;
  // The feature that a volume's filesystem must have and this one has not; empty if it has all.
  virtual std::string Lack(int /*image_fd*/) const { return {}; }
  // The smallest image that it can be made in, in bytes.
  virtual uint64_t MinBytes() const = 0;
  // Makes it, empty (but for what mkfs itself puts there), in an image of holes.
  virtual void Make(int image_fd) const = 0;
  // With clones of it mounted at the same time.
  UniqueFd Mount(const std::string& device, const ImageMountOptions& wanted) const;
  // Has a filesystem that was just mounted for writing write what it would write later, of itself and
  // without a change.
  virtual void Settle(int /*root_fd*/) const {}
  // How often it has found that it cannot go on, since it was made, for which see Activation. `root_fd` is of
  // a mount.
  virtual uint64_t ErrorCount(int root_fd) const = 0;
  // Activation::LimitGrowth.
  virtual bool LimitGrowth(int root_fd, uint64_t bytes) const = 0;
  // What freezing and thawing it write by themselves at most, in bytes, each once. Together that is less
  // than any change of a file writes.
  virtual uint64_t FreezeBytes() const = 0;
  virtual uint64_t ThawBytes() const = 0;

  // What a file handle has to hold for its generation to be that of whichever file has that inode number
  // now. `root_fd` is of a mount. Throws Error ESTALE if none has.
  virtual uint32_t AnyGeneration(int root_fd, uint64_t inode) const = 0;

 protected:
  ImageFilesystem() = default;

 private:
  virtual void AddOptions(ImageMount how, DetachedMountOptions& options) const = 0;
};

}  // namespace ckptfs
