#include "backend/base/elastic_pool.h"

#include <exception>
#include <iterator>
#include <thread>
#include <utility>

namespace ckptfs {

ElasticPool::ElasticPool(std::chrono::seconds idle, size_t threads_max)
    : idle_time_(idle), threads_max_(threads_max) {
  const MutexLock lock(mutex_);
  StartThread();
}

ElasticPool::~ElasticPool() {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  changed_.wait(lock.native(), [this]() REQUIRES(mutex_) { return threads_ == 0; });
  lock.Unlock();
  // Nobody else is left. It may still be in its last call on this object.
  if (ended_.joinable()) ended_.join();
}

// Its function needs the lock first, so that it finds its handle.
void ElasticPool::StartThread() {
  running_.emplace_back();
  const auto handle = std::prev(running_.end());
  try {
    *handle = std::thread([this, handle] { Run(handle); });
  } catch (...) {
    running_.erase(handle);
    throw;
  }
  ++threads_;
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
    StartThread();
  } catch (const std::exception&) {  // no thread, no memory
    return false;
  }
  return true;
}

void ElasticPool::Run(std::list<std::thread>::iterator handle) {
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
  // Each that ends waits for the one before it, which is at its end: so at most one is left to wait for.
  std::thread before = std::exchange(ended_, std::move(*handle));
  running_.erase(handle);
  if (--threads_ == 0) changed_.notify_all();
  lock.Unlock();
  if (before.joinable()) before.join();
}

}  // namespace ckptfs
