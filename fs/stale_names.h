// Names that are no longer those of what the kernel has under them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

#include "fs/kernel_cache.h"
#include "fs/task_thread.h"
#include "fs/views.h"

namespace ckptfs {

// The directories that no volume holds, and the roots of workspaces and snapshots, stand in several
// places, and a verb changes names in all of them, while the kernel takes note of its own rename or rmdir
// only: as it was asked for, in one place. The other names have to be expired, and that takes the lock of
// their directory. A verb must not wait for it: the lock may be held by a request that waits for the very
// thread, or that holds the lock of the one place and waits in the same way for the other.
//
// So until a thread of this class has the lock, whoever comes by such a name is sent back. The attributes
// of the node are dropped, which takes no lock; as each walk through a directory asks for permission, by
// attributes, it reaches GETATTR. That waits until the name has been expired (or for a moment, as it may
// hold a lock itself), and is told ESTALE: on which the kernel walks once more, looking up each name on
// the way. Who has not come by a name (it stands in the directory) asks a second time, and is answered. So
// from the moment at which Add returns no walk from the root finds the node there.
//
// Owned by the mount. Any thread may call anything; request handlers too.
class StaleNames {
 public:
  StaleNames(KernelCache& kernel, SlotTable& slots) : kernel_(kernel), slots_(slots) {}

  // The kernel may have `node` under that name, in vain. `then` is called when it has been expired, before
  // anybody is sent back. Until then the node's slot is given to nothing else.
  void Add(NodeId node, NodeId directory, const std::string& name,
           std::function<void()> then = nullptr);

  // Whether a request for the attributes of `node` is to be answered with ESTALE, after Await, and the
  // kernel must keep none. Costs nothing as long as there are none.
  bool Contains(NodeId node) const;
  // Returns when none of its names is left here, or after a moment.
  void Await(NodeId node);

 private:
  void Expired(NodeId node);

  KernelCache& kernel_;
  SlotTable& slots_;
  std::atomic<size_t> count_{0};
  mutable std::mutex mutex_;
  std::condition_variable expired_;
  std::unordered_map<NodeId, size_t> nodes_;  // and how many names are left
  TaskThread teller_;                         // last: its tasks use all of the above
};

}  // namespace ckptfs
