#include "fs/nodes/descriptor_shares.h"

namespace ckptfs {

DescriptorClaim::~DescriptorClaim() {
  if (shares_ == nullptr) return;
  const MutexLock lock(shares_->mutex_);
  shares_->Remove(user_);
}

void DescriptorClaim::PassTo(uid_t user) {
  if (shares_ == nullptr || user == user_) return;
  const MutexLock lock(shares_->mutex_);
  shares_->Remove(user_);
  shares_->Add(user);
  user_ = user;
}

DescriptorClaim DescriptorShares::Claim(uid_t user) {
  const uint64_t most = most_();
  const MutexLock lock(mutex_);
  const auto held = held_.find(user);
  const uint64_t own = user == 0 || held == held_.end() ? 0 : held->second;
  if (held_by_all_ + own >= most) return {};
  Add(user);
  return {*this, user};
}

void DescriptorShares::Add(uid_t user) {
  ++held_[user];
  ++held_by_all_;
}

void DescriptorShares::Remove(uid_t user) {
  --held_by_all_;
  const auto held = held_.find(user);
  if (--held->second == 0) held_.erase(held);
}

}  // namespace ckptfs
