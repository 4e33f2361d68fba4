// The thread that tells the kernel what it has cached in vain.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "fs/nodes/kernel_cache.h"

namespace ckptfs {

// Invalidating a node's content can wait for a page that a READ or READDIR in flight has locked.
// Done by a request handler that may be the very thread which should answer that READDIR, or while
// holding a lock that its handler takes, it would never end. So one thread of its own does it, in
// order, and holds no lock of anybody else's meanwhile. Any thread may queue; `Drain` may be called
// by a request handler only while it holds no freeze lock and no lock.
class KernelInvalidator {
 public:
  explicit KernelInvalidator(KernelCache& kernel);
  ~KernelInvalidator();  // discards what is still queued: the mount is gone by then
  KernelInvalidator(const KernelInvalidator&) = delete;
  KernelInvalidator& operator=(const KernelInvalidator&) = delete;

  void InvalidateContent(std::vector<NodeId> nodes);
  // Returns when all that was queued before has been done.
  void Drain();

 private:
  void Run(const std::stop_token& stop);

  KernelCache& kernel_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::vector<NodeId>> queue_;
  uint64_t queued_ = 0;  // batches ever queued
  uint64_t done_ = 0;    // batches ever done
  std::jthread thread_;  // last: starts when all else is there, ends first
};

}  // namespace ckptfs
