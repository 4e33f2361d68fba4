#include "fs/nodes/stale_names.h"

#include "backend/base/error.h"

namespace ckptfs {
namespace {

// The waiting request may hold a lock which a thread waits for that holds the lock of the name's directory.
constexpr std::chrono::milliseconds kStaleAwaitMax{50};
// Time for a walk to get from a name to the node behind it.
constexpr std::chrono::milliseconds kStaleKept{100};
constexpr std::chrono::milliseconds kStaleDropInterval{50};

}  // namespace

StaleNames::StaleNames(KernelCache& kernel, SlotTable& slots)
    : kernel_(kernel), slots_(slots), dropper_(kStaleDropInterval, [this] { return DropOld(); }) {}

void StaleNames::Add(NodeId node, NodeId directory, const std::string& name) {
  {
    const MutexLock lock(mutex_);
    const auto [position, is_new] = nodes_.try_emplace(node);
    if (is_new && !IsVirtual(node)) {
      try {
        slots_.Count(SlotOf(node));
      } catch (const Error&) {  // the kernel no longer knows it
        nodes_.erase(position);
        return;
      }
    }
    ++position->second.names;
    count_ = nodes_.size();
  }
  // Only after the insertion: attributes that are sent from now on are not cached.
  kernel_.InvalidateAttributes(node);
  tellers_.Post([this, node, directory, name] {
    kernel_.ExpireName(directory, name);
    Expired(node);
  });
}

void StaleNames::Expired(NodeId node) {
  {
    const MutexLock lock(mutex_);
    Node& expired = nodes_.at(node);
    --expired.names;
    expired.expired_at = Clock::now();
    expired_.notify_all();
  }
  dropper_.Wake();
}

bool StaleNames::DropOld() {
  std::vector<NodeId> dropped;
  {
    const MutexLock lock(mutex_);
    const auto oldest = Clock::now() - kStaleKept;
    std::erase_if(nodes_, [&](const auto& known) {
      const bool is_old = known.second.names == 0 && known.second.expired_at < oldest;
      if (is_old) dropped.push_back(known.first);
      return is_old;
    });
    count_ = nodes_.size();
    if (nodes_.empty()) sent_back_.clear();
  }
  for (const NodeId node : dropped) {
    if (!IsVirtual(node)) slots_.Forget(SlotOf(node), 1);
  }
  return count_ != 0;
}

bool StaleNames::Contains(NodeId node) const {
  if (count_ == 0) return false;
  const MutexLock lock(mutex_);
  return nodes_.contains(node);
}

bool StaleNames::SendsBack(NodeId node, pid_t thread) {
  MutexLock lock(mutex_);
  expired_.wait_for(lock.native(), kStaleAwaitMax, [&]() REQUIRES(mutex_) {
    const auto found = nodes_.find(node);
    return found == nodes_.end() || found->second.names == 0;
  });
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return false;
  const auto [last, is_first] = sent_back_.try_emplace(thread);
  if (!is_first && found->second.names == 0 && last->second >= found->second.expired_at) {
    return false;
  }
  last->second = Clock::now();
  return true;
}

}  // namespace ckptfs
