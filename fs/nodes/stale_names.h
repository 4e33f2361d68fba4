// Names in the kernel's cache that now belong to something else.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <string>
#include <unordered_map>

#include "backend/base/elastic_pool.h"
#include "backend/base/mutex.h"
#include "backend/base/periodic_timer.h"
#include "fs/nodes/kernel_cache.h"
#include "fs/nodes/views.h"

namespace ckptfs {

// Directories outside of any volume, and the roots of workspaces and snapshots, appear in several places. A
// verb changes names in all of them. The kernel updates only the one place in which its own rename or rmdir
// was requested. The other names have to be expired, which takes the lock of their directory. A verb must not
// wait for that lock: its holder may be a request that waits for this very thread, or one that holds the lock
// of the one place and waits in the same way for the other.
//
// So until a thread of this class has had the lock, and for a moment after that, walks through such a name
// are sent back. The node's attributes are dropped, which takes no lock. Each walk through a directory checks
// permission by attributes, so it sends GETATTR. That request waits until the name has been expired (or for a
// moment, as its thread may hold a lock itself), and is answered with ESTALE. The kernel then walks once more
// and looks up each name on the way. A thread that was sent back since the name was expired did not use that
// name, and gets its answer. So once Add returns, no walk from the root finds the node under the stale name,
// and processes that stand in it notice nothing. (Except fstat(2) of it: it is not a walk, and fails once.)
//
// Owned by the mount. Thread-safe; request handlers may call it too.
class StaleNames {
 public:
  StaleNames(KernelCache& kernel, SlotTable& slots);

  // The kernel may have a stale entry for `node` under that name. As long as this lasts, the node's slot is
  // not reused.
  void Add(NodeId node, NodeId directory, const std::string& name);

  // If true, the kernel must cache no attributes of `node`, and a request for them must call SendsBack. Costs
  // nothing while there are no stale names.
  bool Contains(NodeId node) const;
  // Whether to answer ESTALE to a request of `thread` for the attributes of `node`. May wait for a moment: do
  // not call it on a thread that other requests need.
  bool SendsBack(NodeId node, pid_t thread);

 private:
  using Clock = std::chrono::steady_clock;
  struct Node {
    size_t names = 0;              // not expired yet
    Clock::time_point expired_at;  // when the last one was
  };

  void Expired(NodeId node);
  bool DropOld();

  KernelCache& kernel_;
  SlotTable& slots_;
  std::atomic<size_t> count_{0};
  mutable Mutex mutex_;  // guards the members below
  std::condition_variable expired_;
  std::unordered_map<NodeId, Node> nodes_ GUARDED_BY(mutex_);
  std::unordered_map<pid_t, Clock::time_point> sent_back_ GUARDED_BY(mutex_);
  // Both use all of the above, and the second also uses the first.
  PeriodicTimer dropper_;
  ElasticPool tellers_;  // a thread per name: a wait for a list delays no other
};

}  // namespace ckptfs
