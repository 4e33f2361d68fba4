// Things that are made when they are asked for, and kept for who asks again.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <iterator>
#include <list>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "backend/base/mutex.h"

namespace ckptfs {

// Keeps at most `capacity` values, and drops the one whose last use is the longest ago. Values are copied out,
// so whoever uses one keeps it (shared_ptr). They are made and destroyed outside of the lock: either may take
// long. Any thread may call anything.
template <typename Key, typename Value, typename Hash = std::hash<Key>>
class RecentlyUsed {
 public:
  explicit RecentlyUsed(size_t capacity) : capacity_(capacity) {}

  // What `part` takes of the value of that key. If there is none yet, the one that `make` returns; it may throw. Of two
  // threads that make one at the same time both get the first.
  template <typename Make, typename Part = std::identity>
  auto Get(const Key& key, const Make& make, const Part& part = {}) {
    using Taken = std::decay_t<std::invoke_result_t<Part, const Value&>>;
    const auto now = Clock::now();
    {
      const MutexLock lock(mutex_);
      if (const auto known = by_key_.find(key); known != by_key_.end()) {
        order_.splice(order_.begin(), order_, known->second);
        known->second->used_at = now;
        return Taken(std::invoke(part, std::as_const(known->second->value)));
      }
    }
    Order made;
    made.push_front({.key = key, .value = make(), .used_at = now});
    const MutexLock lock(mutex_);
    const auto [place, is_new] = by_key_.try_emplace(key, made.begin());
    Taken taken(std::invoke(part, std::as_const(place->second->value)));
    if (!is_new) return taken;
    order_.splice(order_.begin(), made);
    if (order_.size() > capacity_) DropLocked(made, std::prev(order_.end()));
    return taken;
  }

  void Remove(const Key& key) {
    Order dropped;
    const MutexLock lock(mutex_);
    const auto known = by_key_.find(key);
    if (known != by_key_.end()) DropLocked(dropped, known->second);
  }

  // Those of which `goes`, given key and value, says so.
  template <typename Goes>
  void RemoveIf(const Goes& goes) {
    Order dropped;
    const MutexLock lock(mutex_);
    for (auto entry = order_.begin(); entry != order_.end();) {
      const auto next = std::next(entry);
      if (goes(std::as_const(entry->key), std::as_const(entry->value))) DropLocked(dropped, entry);
      entry = next;
    }
  }

  // Those that were not used for so long. Returns whether any is left.
  bool RemoveIdle(std::chrono::nanoseconds idle) {
    Order dropped;
    const auto last_use = Clock::now() - idle;
    const MutexLock lock(mutex_);
    while (!order_.empty() && order_.back().used_at < last_use) {
      DropLocked(dropped, std::prev(order_.end()));
    }
    return !order_.empty();
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    Key key;
    Value value;
    Clock::time_point used_at;
  };
  using Order = std::list<Entry>;  // most recently used first

  // Moves it to `dropped`, which ends after the lock.
  void DropLocked(Order& dropped, typename Order::iterator entry) REQUIRES(mutex_) {
    by_key_.erase(entry->key);
    dropped.splice(dropped.end(), order_, entry);
  }

  const size_t capacity_;
  Mutex mutex_;
  Order order_ GUARDED_BY(mutex_);
  std::unordered_map<Key, typename Order::iterator, Hash> by_key_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
