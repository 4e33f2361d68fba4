#include "fs/stale_names.h"

namespace ckptfs {

void StaleNames::Add(NodeId node, NodeId directory, const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    ++nodes_[node].names;
    count_ = nodes_.size();
  }
  // After it: attributes that are told from now on are not kept.
  kernel_.InvalidateAttributes(node);
  teller_.Post([this, node, directory, name] {
    kernel_.ExpireName(directory, name);
    Expired(node);
  });
}

void StaleNames::Expired(NodeId node) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  if (--found->second.names == 0) nodes_.erase(found);
  count_ = nodes_.size();
}

bool StaleNames::SendsBack(NodeId node, pid_t thread) {
  if (count_ == 0) return false;
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  return found != nodes_.end() && found->second.sent_back.insert(thread).second;
}

bool StaleNames::Contains(NodeId node) const {
  if (count_ == 0) return false;
  const std::lock_guard lock(mutex_);
  return nodes_.contains(node);
}

}  // namespace ckptfs
