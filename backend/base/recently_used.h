// A cache of values that are made on demand.
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

// Keeps at most `capacity` values and evicts the least recently used one. Values are returned as copies (of a
// shared_ptr, for example), so they outlive their eviction. They are made and destroyed outside the lock,
// because either may take long. Thread-safe.
template <typename Key, typename Value, typename Hash = std::hash<Key>>
class RecentlyUsed {
 public:
  explicit RecentlyUsed(size_t capacity) : capacity_(capacity) {}

  // Returns `part` of the value for that key; if there is none yet, `make` makes it, and may throw. If two
  // threads make it at the same time, both get the first one.
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

  // Removes the entries for which `goes`, given key and value, returns true.
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

  // Removes the entries not used for so long. Returns whether any is left.
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

  // Moves the entry to `dropped`, which is destroyed after unlocking.
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
