#include "backend/base/elastic_pool.h"

#include <exception>
#include <thread>
#include <utility>

namespace ckptfs {

ElasticPool::ElasticPool(std::chrono::seconds idle, size_t threads_max)
    : idle_time_(idle), threads_max_(threads_max) {
  std::thread([this] { Run(); }).detach();
}

ElasticPool::~ElasticPool() {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  changed_.wait(lock.native(), [this]() REQUIRES(mutex_) { return threads_ == 0; });
}

void ElasticPool::Add(Owner owner, std::function<void()> task) {
  shares_[owner].tasks.push_back(std::move(task));
  ++waiting_;
  changed_.notify_one();
}

void ElasticPool::Post(Owner owner, std::function<void()> task) {
  const MutexLock lock(mutex_);
  Add(owner, std::move(task));
  // Otherwise the task waits for an existing thread, or for its owner's turn.
  if (waiting_ > threads_ - busy_ && Next() != shares_.end()) MakeThread();
}

bool ElasticPool::TryPost(std::function<void()> task) {
  const MutexLock lock(mutex_);
  if (waiting_ >= threads_ - busy_ && !MakeThread()) return false;
  Add(kHouse, std::move(task));
  return true;
}

bool ElasticPool::MayBegin(const Shares::value_type& share) const {
  const size_t taken = share.first == kHouse ? 0 : share.second.threads;
  return !share.second.tasks.empty() && taken < threads_max_ - busy_;
}

// The owner whose task starts next: end() if none may.
ElasticPool::Shares::iterator ElasticPool::Next() {
  auto next = shares_.end();
  for (auto i = shares_.begin(); i != shares_.end(); ++i) {
    if (!MayBegin(*i)) continue;
    if (next == shares_.end() || i->second.threads < next->second.threads) next = i;
  }
  return next;
}

bool ElasticPool::MakeThread() {
  if (threads_ >= threads_max_) return false;
  try {
    std::thread([this] { Run(); }).detach();
  } catch (const std::exception&) {  // no thread, no memory
    return false;
  }
  ++threads_;
  return true;
}

void ElasticPool::Run() {
  MutexLock lock(mutex_);
  while (true) {
    const bool called = changed_.wait_for(lock.native(), idle_time_, [this]() REQUIRES(mutex_) {
      return (stopping_ && waiting_ == 0) || Next() != shares_.end();
    });
    const auto next = Next();
    if (next == shares_.end()) {
      if (called || threads_ > 1) break;
      continue;
    }
    Share& share = next->second;
    std::function<void()> task = std::move(share.tasks.front());
    share.tasks.pop_front();
    --waiting_;
    ++share.threads;
    ++busy_;
    lock.Unlock();
    task();
    task = nullptr;  // destroying what it captured may take long
    lock.Lock();
    --busy_;
    if (--share.threads == 0 && share.tasks.empty()) shares_.erase(next);
    if (stopping_) changed_.notify_all();
  }
  // With the lock held: the destructor goes on once it is released, after the last use of this object.
  if (--threads_ == 0) std::notify_all_at_thread_exit(changed_, std::move(lock.native()));
}

}  // namespace ckptfs
