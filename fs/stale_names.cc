#include "fs/stale_names.h"

#include <chrono>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

// The request that waits may hold a lock for which the one waits that holds the lock of the name's directory.
constexpr std::chrono::milliseconds kAwaitMax{50};

}  // namespace

void StaleNames::Add(NodeId node, NodeId directory, const std::string& name,
                     std::function<void()> then) {
  if (!IsVirtual(node)) {
    try {
      slots_.Count(SlotOf(node));
    } catch (const Error&) {
      return;  // the kernel knows it no longer
    }
  }
  {
    const std::lock_guard lock(mutex_);
    ++nodes_[node];
    count_ = nodes_.size();
  }
  // After it: attributes that are told from now on are not kept.
  kernel_.InvalidateAttributes(node);
  teller_.Post([this, node, directory, name, then = std::move(then)] {
    kernel_.ExpireName(directory, name);
    if (then) then();
    Expired(node);
    if (!IsVirtual(node)) slots_.Forget(SlotOf(node), 1);
  });
}

void StaleNames::Expired(NodeId node) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  if (--found->second == 0) nodes_.erase(found);
  count_ = nodes_.size();
  expired_.notify_all();
}

bool StaleNames::Contains(NodeId node) const {
  if (count_ == 0) return false;
  const std::lock_guard lock(mutex_);
  return nodes_.contains(node);
}

void StaleNames::Await(NodeId node) {
  std::unique_lock lock(mutex_);
  expired_.wait_for(lock, kAwaitMax, [&] { return !nodes_.contains(node); });
}

}  // namespace ckptfs
