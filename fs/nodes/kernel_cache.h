// What the filesystem tells the kernel unasked.
#pragma once

#include <cstdint>
#include <string>

#include "fs/nodes/node_id.h"

namespace ckptfs {

// The kernel's side of one mount. Implemented by the adapter, the only part that knows libfuse. A failure
// that means "the kernel does not know that node" is not an error. Thread-safe; functions that must not be
// called from a request handler say so.
class KernelCache {
 public:
  virtual ~KernelCache() = default;

  // Drops the cached attributes (and ACLs) of a node. Touches no page and takes no inode lock, so request
  // handlers may call it. Returns whether the kernel knows the node.
  virtual bool InvalidateAttributes(NodeId node) noexcept = 0;

  // Drops the attributes and the cached listing of a directory, or writes back and drops the cached pages of
  // a file from that offset on. Waits for pages that other requests have locked. May be called by the
  // invalidator and by KernelPages; for a file that nobody has open, by any thread.
  virtual void InvalidateContent(NodeId node, int64_t offset) noexcept = 0;

  // Writes zeros to the cached pages of a file, and extends the kernel's file size to `end`. Waits for pages
  // as above.
  virtual void ZeroPages(NodeId node, int64_t begin, int64_t end) noexcept = 0;

  // Makes the kernel look up that one name again before its next use; names below it are not affected. Takes
  // the directory's lock, as AwaitLookups does.
  virtual void ExpireName(NodeId directory, const std::string& name) noexcept = 0;

  // The same, and drops all names below it, positive and negative, that are unused at the moment. Unmounts
  // whatever is mounted on it or below it, in any mount namespace. Holds the lock of `directory` throughout:
  // about a microsecond per name.
  virtual void DropNamesBelow(NodeId directory, const std::string& name) noexcept = 0;

  // Returns when the kernel has processed every lookup and listing of that directory that was answered
  // before. The kernel does so with the directory's lock held, and this call takes that lock. So the caller
  // must not block anything that a holder of that lock may wait for.
  virtual void AwaitLookups(NodeId directory) noexcept = 0;

  // Lets the kernel itself read, write and map the file behind `fd` (which may be O_PATH), with the
  // credentials of the calling thread. Returns a backing id, or -errno.
  virtual int OpenBacking(int fd) noexcept = 0;
  virtual void CloseBacking(int backing_id) noexcept = 0;
};

// How long the kernel may cache what it was told, in seconds. Only the kernel's own requests change a volume;
// where ckptfs changes one itself, it tells the kernel.
inline constexpr double kForeverSeconds = 86400;

}  // namespace ckptfs
