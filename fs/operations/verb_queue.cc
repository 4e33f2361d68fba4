#include "fs/operations/verb_queue.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace ckptfs {

void VerbQueue::Post(uid_t user, int64_t workspace, std::function<void()> run) {
  {
    const MutexLock lock(mutex_);
    users_[user].waiting.push_back({user, workspace, std::move(run)});
  }
  Dispatch();
}

// Starts every verb that may run now.
void VerbQueue::Dispatch() {
  while (true) {
    std::optional<Task> next;
    {
      const MutexLock lock(mutex_);
      next = TakeNext();
    }
    if (!next) return;
    threads_.Post([this, task = std::make_shared<Task>(*std::move(next))] {
      Run(*task);
      Dispatch();
    });
  }
}

std::optional<VerbQueue::Task> VerbQueue::TakeNext() {
  if (running_ >= kRunningMax) return std::nullopt;
  const auto first = users_.upper_bound(last_);
  for (auto user = first; user != users_.end(); ++user) {
    if (auto task = TakeOf(user->first, user->second)) return task;
  }
  for (auto user = users_.begin(); user != first; ++user) {
    if (auto task = TakeOf(user->first, user->second)) return task;
  }
  return std::nullopt;
}

std::optional<VerbQueue::Task> VerbQueue::TakeOf(uid_t id, User& user) {
  if (id != 0 && user.running >= kRunningOfUserMax) return std::nullopt;
  const auto found = std::find_if(user.waiting.begin(), user.waiting.end(),
                                  [this](const Task& task)
                                      REQUIRES(mutex_) { return !busy_.contains(task.workspace); });
  if (found == user.waiting.end()) return std::nullopt;
  std::optional<Task> task = std::move(*found);
  user.waiting.erase(found);
  busy_.insert(task->workspace);
  ++user.running;
  ++running_;
  last_ = id;
  return task;
}

void VerbQueue::Run(Task& task) {
  task.run();
  task.run = nullptr;  // destroys what it holds before the verb is reported done
  const MutexLock lock(mutex_);
  busy_.erase(task.workspace);
  --running_;
  const auto user = users_.find(task.user);
  if (--user->second.running == 0 && user->second.waiting.empty()) users_.erase(user);
}

}  // namespace ckptfs
