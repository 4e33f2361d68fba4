#include "fs/nodes/kernel_invalidator.h"

namespace ckptfs {

KernelInvalidator::KernelInvalidator(KernelCache& kernel)
    : kernel_(kernel), thread_([this](const std::stop_token& stop) { Run(stop); }) {}

KernelInvalidator::~KernelInvalidator() {
  thread_.request_stop();
  thread_.join();
}

void KernelInvalidator::InvalidateContent(std::vector<NodeId> nodes) {
  if (nodes.empty()) return;  // saves the checkpoint from waiting for the thread
  const MutexLock lock(mutex_);
  queue_.push_back(std::move(nodes));
  ++queued_;
  changed_.notify_all();
}

void KernelInvalidator::Drain() {
  MutexLock lock(mutex_);
  const uint64_t target = queued_;
  changed_.wait(lock.native(), thread_.get_stop_token(),
                [&]() REQUIRES(mutex_) { return done_ >= target; });
}

void KernelInvalidator::Run(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (
      changed_.wait(lock.native(), stop, [this]() REQUIRES(mutex_) { return !queue_.empty(); })) {
    const std::vector<NodeId> batch = std::move(queue_.front());
    queue_.pop_front();
    lock.Unlock();
    for (const NodeId node : batch) {
      if (stop.stop_requested()) break;
      kernel_.InvalidateContent(node, 0);
    }
    lock.Lock();
    ++done_;
    changed_.notify_all();
  }
}

}  // namespace ckptfs
