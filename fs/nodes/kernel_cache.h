// What the filesystem tells the kernel, unasked.
#pragma once

#include <cstdint>
#include <string>

#include "fs/nodes/node_id.h"

namespace ckptfs {

// The kernel's side of one mount. Implemented over libfuse by the adapter, which alone knows it.
// Failures that mean "the kernel does not know that node" are no failures. Any thread may call any
// function; what must not be called from a request handler says so.
class KernelCache {
 public:
  virtual ~KernelCache() = default;

  // Drops the cached attributes (and ACLs) of a node; touches no page and takes no inode lock, so
  // request handlers may call it. Returns whether the kernel knows the node.
  virtual bool InvalidateAttributes(NodeId node) noexcept = 0;

  // Drops attributes and the cached listing of a directory, or the cached pages of a file from that
  // offset on, after writing dirty ones back. Waits for pages that other requests hold: for the invalidator,
  // for KernelPages, and for a file that nobody has open by any page.
  virtual void InvalidateContent(NodeId node, int64_t offset) noexcept = 0;

  // Stores zeros to the cached pages of a file, and makes it as large as that for the kernel. Waits for
  // pages as above.
  virtual void ZeroPages(NodeId node, int64_t begin, int64_t end) noexcept = 0;

  // Makes the kernel look that one name up anew before it next uses it; what is below it is left alone.
  // Takes the directory's lock, as AwaitLookups does.
  virtual void ExpireName(NodeId directory, const std::string& name) noexcept = 0;

  // The same, and drops all names below it, known and known not to be there, that nobody uses at the
  // moment. Whatever is mounted on it or below it, in any mount namespace, is unmounted. Takes the lock of
  // `directory` for as long as that takes: about a microsecond a name.
  virtual void DropNamesBelow(NodeId directory, const std::string& name) noexcept = 0;

  // Returns when the kernel has taken in every lookup and listing in that directory that was answered
  // before: it does so with the directory's lock held, and this takes it. So whoever waits for this must
  // hold up nothing that a holder of that lock may wait for.
  virtual void AwaitLookups(NodeId directory) noexcept = 0;

  // Lets the kernel read, write and map the file behind `fd` (which may be O_PATH) itself, with
  // the credentials of the calling thread. Returns a backing id, or -errno.
  virtual int OpenBacking(int fd) noexcept = 0;
  virtual void CloseBacking(int backing_id) noexcept = 0;
};

// How long the kernel may keep what it was told, in seconds. Nobody but the kernel's own requests
// changes a volume, and where ckptfs itself does it says so to the kernel.
inline constexpr double kForeverSeconds = 86400;

}  // namespace ckptfs
