#include "catalog/store/operation_locks.h"

#include <algorithm>
#include <utility>

namespace ckptfs {

OperationLocks::Hold::Hold(Hold&& other) noexcept
    : locks_(std::exchange(other.locks_, nullptr)), request_(other.request_) {}

OperationLocks::Hold::~Hold() {
  if (locks_ == nullptr) return;
  const MutexLock lock(locks_->mutex_);
  locks_->requests_.erase(request_);
  locks_->changed_.notify_all();
}

OperationLocks::Hold OperationLocks::Lock(const std::vector<int64_t>& workspaces) {
  return Wait({.whole = false, .workspaces = {workspaces.begin(), workspaces.end()}});
}

OperationLocks::Hold OperationLocks::LockAll() { return Wait({.whole = true, .workspaces = {}}); }

OperationLocks::Hold OperationLocks::Wait(Hold::Request request) {
  MutexLock lock(mutex_);
  const auto mine = requests_.insert(requests_.end(), std::move(request));
  changed_.wait(lock.native(), [&]() REQUIRES(mutex_) { return IsFirst(mine); });
  return Hold(*this, mine);
}

bool OperationLocks::Conflict(const Hold::Request& one, const Hold::Request& other) {
  if (one.whole || other.whole) return true;
  return std::any_of(one.workspaces.begin(), one.workspaces.end(),
                     [&](int64_t id) { return other.workspaces.contains(id); });
}

bool OperationLocks::IsFirst(Requests::const_iterator request) const {
  return std::none_of(requests_.begin(), request,
                      [&](const Hold::Request& before) { return Conflict(before, *request); });
}

}  // namespace ckptfs
