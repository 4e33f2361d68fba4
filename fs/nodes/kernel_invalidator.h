// The thread that invalidates the kernel's stale caches.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

#include "backend/base/mutex.h"
#include "fs/nodes/kernel_cache.h"

namespace ckptfs {

// Invalidating a node's content can wait for a page that a READ or READDIR in flight has locked. It would
// deadlock in a request handler, which may be the very thread that should answer that READDIR, or while
// holding a lock that its handler takes. So one dedicated thread does it, in order, with no other lock held.
// Any thread may queue. A request handler may call `Drain` only while it holds no lock, freeze locks
// included.
class KernelInvalidator {
 public:
  explicit KernelInvalidator(KernelCache& kernel);
  ~KernelInvalidator();  // discards the queue: the mount is gone by then
  KernelInvalidator(const KernelInvalidator&) = delete;
  KernelInvalidator& operator=(const KernelInvalidator&) = delete;

  void InvalidateContent(std::vector<NodeId> nodes);
  // Returns when everything queued before has been done.
  void Drain();

 private:
  void Run(const std::stop_token& stop);

  KernelCache& kernel_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::vector<NodeId>> queue_ GUARDED_BY(mutex_);
  uint64_t queued_ GUARDED_BY(mutex_) = 0;  // total batches queued
  uint64_t done_ GUARDED_BY(mutex_) = 0;    // total batches done
  std::jthread thread_;  // last: started after and joined before all other members
};

}  // namespace ckptfs
