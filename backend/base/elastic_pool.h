// Threads for tasks that block.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <thread>
#include <utility>

#include "backend/base/mutex.h"

namespace ckptfs {

// Work that would block a thread that reads requests from the kernel (a closed freeze lock, an fsync, a large
// copy) is done here instead. With FUSE over io_uring, each processor has one thread for all of its requests,
// and through /dev/fuse no more requests get in than there are threads. Each task starts at once, on a thread
// that does nothing else. Threads are created on demand. All but the last end after being idle for `idle`,
// since creating and ending one takes longer than many a task.
//
// Tasks have owners (mostly users), and no owner can make the others wait: an owner has at most as many
// threads as remain free. So a single owner gets half of them, two get a third each, and there is always one
// for a new owner. Further tasks of an owner wait; the owner with the fewest threads is served next.
//
// Thread-safe. If no thread can be created, Post makes tasks wait for each other, and TryPost refuses
// (false). The destructor waits for posted tasks. A task must not throw; it is destroyed on its thread.
class ElasticPool {
 public:
  using Owner = uint64_t;
  // Owner of the program's own tasks: may use all threads.
  static constexpr Owner kHouse = ~Owner{0};

  static constexpr size_t kThreadsMax = 512;

  explicit ElasticPool(std::chrono::seconds idle = std::chrono::seconds(5),
                       size_t threads_max = kThreadsMax);
  ~ElasticPool();
  ElasticPool(const ElasticPool&) = delete;
  ElasticPool& operator=(const ElasticPool&) = delete;

  void Post(Owner owner, std::function<void()> task);
  void Post(std::function<void()> task) { Post(kHouse, std::move(task)); }
  bool TryPost(std::function<void()> task);  // owned by kHouse

 private:
  struct Share {
    std::deque<std::function<void()>> tasks;
    size_t threads = 0;
  };
  using Shares = std::map<Owner, Share>;  // of owners with tasks or threads

  void StartThread() REQUIRES(mutex_);
  void Run(std::list<std::thread>::iterator handle);
  Shares::iterator Next() REQUIRES(mutex_);
  bool MayBegin(const Shares::value_type& share) const REQUIRES(mutex_);
  void Add(Owner owner, std::function<void()> task) REQUIRES(mutex_);
  bool MakeThread() REQUIRES(mutex_);

  const std::chrono::seconds idle_time_;
  const size_t threads_max_;
  Mutex mutex_;
  std::condition_variable changed_;
  Shares shares_ GUARDED_BY(mutex_);
  size_t waiting_ GUARDED_BY(mutex_) = 0;  // tasks not started yet
  size_t threads_ GUARDED_BY(mutex_) = 0;
  size_t busy_ GUARDED_BY(mutex_) = 0;  // of these
  std::list<std::thread> running_ GUARDED_BY(mutex_);
  std::thread ended_ GUARDED_BY(mutex_);  // the last one that has ended
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace ckptfs
