// What volumes are made from, where a backend shares one image between many.
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

// The label of the template that volumes are made from if nobody says otherwise.
inline constexpr char kDefaultTemplate[] = "default";

// What there is to know of a template. It never changes: an image of which one of these is another is
// another image, and what was made from the first would be garbage on it.
struct TemplateInfo {
  TemplateId id;
  std::string label;  // the name that those above gave it; means nothing to the backend
  int64_t created_ns = 0;
  std::string filesystem;   // "ext4"
  uint64_t size_bytes = 0;  // of the image, and so of each volume that is made from it
  uint64_t inode = 0;       // of the image's file when it was made
  std::string sha256;       // of what is in it: 64 digits

  bool operator==(const TemplateInfo&) const = default;
};

// A template that is being filled: a filesystem that nobody else sees. Unless Finish is called it is
// removed at the end. For one thread.
class PendingTemplate {
 public:
  virtual ~PendingTemplate() = default;
  virtual int root_fd() const noexcept = 0;
  // Durable on return. Call it once; root_fd() is not valid any more afterwards.
  virtual TemplateInfo Finish() = 0;
};

// The templates of one backend. Images are never written to once they are made, and compared with
// what is known of them before they are used. Functions may be called by any thread; those that
// concern one template must not race against each other. Errors are thrown as Error.
class TemplateKeeper {
 public:
  virtual ~TemplateKeeper() = default;

  // A new, empty filesystem ("ext4" or "xfs"). EINVAL for another, ENOSPC, ENOENT if its mkfs is not
  // installed.
  virtual std::unique_ptr<PendingTemplate> Begin(const std::string& label,
                                                 const std::string& filesystem,
                                                 uint64_t size_bytes) = 0;
  // A copy of an image of an ext4 or xfs filesystem. EINVAL if it is none. A journal that waits to be
  // played back is, in the copy. Durable on return.
  // `check` is called with the root directory of the copy, and can refuse it by throwing.
  virtual TemplateInfo Import(const std::string& label, int image_fd,
                              const std::function<void(int root_fd)>& check) = 0;
  // What a read-only volume shows, as a template that needs none of the volume and of what that was
  // made from. Durable on return.
  virtual TemplateInfo Flatten(const std::string& label, const VolumeId& volume) = 0;
  // False if there is none. EBUSY if a volume is based on it.
  virtual bool Remove(const TemplateId& id) = 0;

  // As written down beside the images, for when nobody else knows (a lost catalog).
  virtual std::vector<TemplateInfo> List() const = 0;
  // What is known of a template elsewhere: one that is not so (any more) is refused from now on.
  virtual void Expect(const TemplateInfo& info) = 0;
  // Throws Error EUCLEAN with the reason if a template is not what it should be. Reads it whole, once
  // for as long as the store is open, and again if its file is another one or was touched since. Another
  // file with the very same content, as after the store was copied or restored, will do.
  virtual void Verify(const TemplateId& id) = 0;

  // Empty if there is no such volume.
  virtual std::optional<TemplateId> TemplateOf(const VolumeId& volume) const = 0;
  // Bytes that its image takes on disk.
  virtual uint64_t DiskBytes(const TemplateId& id) const = 0;

  // How large a template is if nobody says so, in bytes.
  virtual uint64_t DefaultSize() const = 0;
};

}  // namespace ckptfs
