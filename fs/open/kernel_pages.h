// The kernel's pages of files that it does not read and write itself.
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

// Of a file whose data goes through the daemon (OpenFiles) the kernel has pages of its own, and stores
// through mappings come here when these are written back, which is too late for two things:
//
// - The last page is whole in memory. What a mapping stores past the end of the file must never become
//   content: natively the filesystem zeroes it when the file grows. Here the daemon lets the file grow,
//   and the kernel then shows what is in its page, and writes it back.
// - Written back, a store counts as a write of that moment: it would overwrite times, and drop the file
//   capabilities, that a program has set since.
//
// Any thread may call. All but `Holds` wait for pages, which other requests hold (READ, and WRITE of what
// is written back): never on a thread that these need, and never inside a freeze lock, which WRITE passes.
class KernelPages {
 public:
  KernelPages(KernelCache& kernel, OpenFiles& files) : kernel_(kernel), files_(files) {}

  // Whether a mapping may have stored to pages of the kernel's that have not come to the daemon.
  bool Holds(NodeId node) const { return files_.MayHoldPages(node); }

  // Every store so far is in the file when this returns. Not while the kernel changes the file's size
  // (SETATTR): it sends no WRITE of its own then.
  void WriteBack(NodeId node);

  // The same of files of one slot, on the thread of a verb. Returns at once if there are none, whoever
  // else's pages are being written back.
  void WriteBackAll(Slot slot, std::vector<NodeId> nodes);

  // Before a file of `size` bytes grows otherwise than by SETATTR: writes back and drops its last page,
  // of which the kernel sends no more than it still takes for the file. `pass_freeze_lock` waits until the freeze lock
  // that such a WRITE passes has been open.
  void DropTail(NodeId node, off_t size, const std::function<void()>& pass_freeze_lock);

  // After SETATTR has given it another size, and before the answer, until which nothing is written back:
  // zeroes in the last page what is content from now on.
  void SizeChanged(NodeId node, off_t old_size, off_t new_size);

 private:
  void ZeroTail(NodeId node, off_t begin, off_t end);
  std::future<void> Begin(Slot slot, const std::function<void()>& task);

  KernelCache& kernel_;
  OpenFiles& files_;
  ElasticPool helpers_;  // whose tasks are a slot's
};

}  // namespace ckptfs
