// Names that are no longer those of what the kernel has under them.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_map>

#include "backend/base/elastic_pool.h"
#include "backend/base/periodic_timer.h"
#include "fs/nodes/kernel_cache.h"
#include "fs/nodes/views.h"

namespace ckptfs {

// The directories that no volume holds, and the roots of workspaces and snapshots, stand in several
// places, and a verb changes names in all of them, while the kernel takes note of its own rename or rmdir
// only: as it was asked for, in one place. The other names have to be expired, and that takes the lock of
// their directory. A verb must not wait for it: the lock may be held by a request that waits for the very
// thread, or that holds the lock of the one place and waits in the same way for the other.
//
// So until a thread of this class has the lock, and for a moment after that, whoever comes by such a name
// is sent back. The attributes of the node are dropped, which takes no lock; as each walk through a
// directory asks for permission, by attributes, it reaches GETATTR. That waits until the name has been
// expired (or for a moment, as it may hold a lock itself), and is told ESTALE: on which the kernel walks
// once more, looking up each name on the way. A thread that was sent back since the name was expired has not
// come by it, and is answered. So from the moment at which Add returns no walk from the root finds the node
// there, and who stands in it notices nothing. (But fstat(2) of it: that is no walk, and fails once.)
//
// Owned by the mount. Any thread may call anything; request handlers too.
class StaleNames {
 public:
  StaleNames(KernelCache& kernel, SlotTable& slots);

  // The kernel may have `node` under that name, in vain. For as long as this lasts the node's slot is given
  // to nothing else.
  void Add(NodeId node, NodeId directory, const std::string& name);

  // Whether the kernel must keep no attributes of `node`, and a request for them has to ask SendsBack.
  // Costs nothing as long as there are none.
  bool Contains(NodeId node) const;
  // Whether a request of `thread` for the attributes of `node` is to be answered with ESTALE. May wait for
  // a moment: not on a thread that other requests need.
  bool SendsBack(NodeId node, pid_t thread);

 private:
  using Clock = std::chrono::steady_clock;
  struct Node {
    size_t names = 0;              // that have not been expired yet
    Clock::time_point expired_at;  // the last of them
  };

  void Expired(NodeId node);
  bool DropOld();

  KernelCache& kernel_;
  SlotTable& slots_;
  std::atomic<size_t> count_{0};
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable expired_;
  std::unordered_map<NodeId, Node> nodes_;
  std::unordered_map<pid_t, Clock::time_point> sent_back_;
  // These use all of the above, and the second the first.
  PeriodicTimer dropper_;
  ElasticPool tellers_;  // a thread for each name: one that waits for a list keeps no other waiting
};

}  // namespace ckptfs
