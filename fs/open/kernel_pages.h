// The kernel's page cache of files whose data goes through the daemon.
#pragma once

#include <sys/types.h>

#include <functional>
#include <future>
#include <vector>

#include "backend/base/elastic_pool.h"
#include "fs/nodes/kernel_cache.h"
#include "fs/nodes/node_id.h"
#include "fs/open/open_files.h"

namespace ckptfs {

// If a file's data goes through the daemon (OpenFiles), the kernel caches its pages. Stores through mappings
// reach the daemon only on writeback, which is too late in two cases:
//
// - The last page is in memory as a whole. What a mapping stores beyond the end of the file must never become
//   content: a native filesystem zeroes it when the file grows. Here the daemon makes the file grow, and the
//   kernel would then show what is in its page and write it back.
// - At writeback, a store counts as a write at that moment: it would overwrite times and drop file
//   capabilities that a program has set since.
//
// Thread-safe. All but `Holds` wait for pages that other requests hold (READ, and WRITE for writeback): never
// call them on a thread that these requests need, nor inside a freeze lock, because WRITE passes it.
class KernelPages {
 public:
  KernelPages(KernelCache& kernel, OpenFiles& files) : kernel_(kernel), files_(files) {}

  // Whether the kernel may hold pages with stores that have not reached the daemon.
  bool Holds(NodeId node) const { return files_.MayHoldPages(node); }

  // On return every store so far is in the file. Not while the kernel changes the file's size (SETATTR): it
  // sends no WRITE meanwhile.
  void WriteBack(NodeId node);

  // The same for files of one slot, on the thread of an operation. Returns at once if there are none, even
  // while pages of other slots are being written back.
  void WriteBackAll(Slot slot, std::vector<NodeId> nodes);

  // Call before a file of `size` bytes grows by anything but SETATTR: writes back and drops its last page, of
  // which the kernel sends only the part within the size it knows. `pass_freeze_lock` waits until the freeze
  // lock, which that WRITE passes, has been open.
  void DropTail(NodeId node, off_t size, const std::function<void()>& pass_freeze_lock);

  // Call after SETATTR has changed the size and before its answer; there is no writeback in between. Zeroes
  // what becomes content in the last page.
  void SizeChanged(NodeId node, off_t old_size, off_t new_size);

 private:
  void ZeroTail(NodeId node, off_t begin, off_t end);
  std::future<void> Begin(Slot slot, const std::function<void()>& task);

  KernelCache& kernel_;
  OpenFiles& files_;
  ElasticPool helpers_;  // its tasks are grouped by slot
};

}  // namespace ckptfs
