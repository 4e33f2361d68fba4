// Templates for volumes, for backends that share one image between many volumes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/uuid.h"

namespace ckptfs {

using TemplateId = Uuid;

// The label of the default template.
inline constexpr char kDefaultTemplate[] = "default";

// The description of a template. It never changes: an image with any other value is another image, and a
// volume made from the first would be garbage on it.
struct TemplateInfo {
  TemplateId id;
  std::string label;  // name given by the layers above; the backend ignores it
  int64_t created_ns = 0;
  std::string filesystem;   // "ext4"
  uint64_t size_bytes = 0;  // of the image, and so of each volume made from it
  uint64_t inode = 0;       // of the image's file at its creation
  std::string sha256;       // of the content: 64 digits

  bool operator==(const TemplateInfo&) const = default;
};

// A template being filled: a filesystem that nobody else sees. Removed by the destructor unless Finish is
// called. Used by one thread.
class PendingTemplate {
 public:
  virtual ~PendingTemplate() = default;
  virtual int root_fd() const noexcept = 0;
  // Durable on return. Call it once; afterwards root_fd() is no longer valid.
  virtual TemplateInfo Finish() = 0;
};

// The templates of one backend. Finished images are never written to, and are verified before they are used.
// Thread-safe, but functions that concern the same template must not run concurrently. Errors are thrown as
// Error.
class TemplateKeeper {
 public:
  virtual ~TemplateKeeper() = default;

  // A new, empty filesystem ("ext4" or "xfs"). EINVAL for another, ENOSPC, ENOENT if its mkfs is not
  // installed.
  virtual std::unique_ptr<PendingTemplate> Begin(const std::string& label,
                                                 const std::string& filesystem,
                                                 uint64_t size_bytes) = 0;
  // Imports a copy of an image of an ext4 or xfs filesystem. EINVAL if it is not one. A pending journal is
  // replayed in the copy. Durable on return. `check` is called with the root directory of the copy, and can
  // refuse it by throwing.
  virtual TemplateInfo Import(const std::string& label, int image_fd,
                              const std::function<void(int root_fd)>& check) = 0;
  // Makes a template from the contents of a read-only volume; it depends neither on the volume nor on what
  // that was made from. Durable on return.
  virtual TemplateInfo Flatten(const std::string& label, const VolumeId& volume) = 0;
  // False if there is none. EBUSY if a volume is based on it.
  virtual bool Remove(const TemplateId& id) = 0;

  // As recorded beside the images, for when the catalog is lost.
  virtual std::vector<TemplateInfo> List() const = 0;
  // Sets the expected description of a template: from now on, one that does not match is refused.
  virtual void Expect(const TemplateInfo& info) = 0;
  // Throws Error EUCLEAN with the reason if a template's content is wrong. Reads all of it once per opening
  // of the store, and again if its file was replaced or touched. Another file with identical content is
  // accepted, e.g. after the store was copied or restored.
  virtual void Verify(const TemplateId& id) = 0;

  // Empty if there is no such volume.
  virtual std::optional<TemplateId> TemplateOf(const VolumeId& volume) const = 0;
  // Bytes that its image uses on disk.
  virtual uint64_t DiskBytes(const TemplateId& id) const = 0;

  // The default size of a template, in bytes.
  virtual uint64_t DefaultSize() const = 0;
};

}  // namespace ckptfs
