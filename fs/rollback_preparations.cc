#include "fs/rollback_preparations.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

namespace ckptfs {
namespace {

// For a thread that never comes again: it was killed, or asked on behalf of another machine.
constexpr std::chrono::seconds kPreparationKept{5};
constexpr std::chrono::seconds kPreparationDropInterval{1};

}  // namespace

void RollbackPreparations::Preparation::Await(std::chrono::milliseconds time_max) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time_max, [this] { return done_; });
}

std::unique_ptr<ForgottenNames> RollbackPreparations::Preparation::TakeNames() {
  const std::lock_guard lock(mutex_);
  return std::move(names_);
}

RollbackPreparations::RollbackPreparations(KernelCache& kernel)
    : kernel_(kernel), dropper_(kPreparationDropInterval, [this] { return DropOld(); }) {}

std::shared_ptr<RollbackPreparations::Preparation> RollbackPreparations::Begin(pid_t thread,
                                                                               int64_t workspace_id,
                                                                               NodeId list,
                                                                               int walks) {
  auto preparation = std::make_shared<Preparation>();
  preparation->thread_ = thread;
  preparation->workspace_id_ = workspace_id;
  preparation->list_ = list;
  preparation->walks_left_ = walks;
  preparation->begun_at_ = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(mutex_);
    preparations_.push_back(preparation);
    count_ = preparations_.size();
  }
  kernel_.InvalidateAttributes(list);
  dropper_.Wake();
  return preparation;
}

void RollbackPreparations::Run(
    Preparation& preparation,
    const std::function<std::unique_ptr<ForgottenNames>()>& forget) noexcept {
  std::unique_ptr<ForgottenNames> names;
  try {
    names = forget();
  } catch (const std::exception& error) {
    spdlog::error("prepare a rollback: {}", error.what());
  }
  const std::lock_guard lock(preparation.mutex_);
  preparation.names_ = std::move(names);
  preparation.done_ = true;
  preparation.changed_.notify_all();
}

std::shared_ptr<RollbackPreparations::Preparation> RollbackPreparations::Take(
    pid_t thread, int64_t workspace_id) {
  if (count_ == 0) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(preparations_.begin(), preparations_.end(), [&](const auto& one) {
    return one->thread_ == thread && one->workspace_id_ == workspace_id;
  });
  if (found == preparations_.end()) return nullptr;
  auto taken = std::move(*found);
  preparations_.erase(found);
  count_ = preparations_.size();
  return taken;
}

bool RollbackPreparations::Contains(NodeId list) const {
  if (count_ == 0) return false;
  const std::lock_guard lock(mutex_);
  return std::any_of(preparations_.begin(), preparations_.end(),
                     [&](const auto& one) { return one->list_ == list; });
}

std::shared_ptr<RollbackPreparations::Preparation> RollbackPreparations::AwaitedBy(pid_t thread,
                                                                                   NodeId list) {
  if (count_ == 0) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(preparations_.begin(), preparations_.end(), [&](const auto& one) {
    return one->list_ == list && one->thread_ == thread;
  });
  if (found == preparations_.end() || --(*found)->walks_left_ > 0) return nullptr;
  return *found;
}

bool RollbackPreparations::DropOld() {
  const auto oldest = std::chrono::steady_clock::now() - kPreparationKept;
  std::list<std::shared_ptr<Preparation>> dropped;  // ends after the lock is given back
  const std::lock_guard lock(mutex_);
  for (auto one = preparations_.begin(); one != preparations_.end();) {
    const auto next = std::next(one);
    if ((*one)->begun_at_ < oldest) dropped.splice(dropped.end(), preparations_, one);
    one = next;
  }
  count_ = preparations_.size();
  return !preparations_.empty();
}

}  // namespace ckptfs
