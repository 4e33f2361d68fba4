// Threads for what must wait.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

namespace ckptfs {

// What would keep a thread that reads requests from the kernel (a freeze lock that is shut, an fsync, a large copy)
// is done here instead: with FUSE over io_uring each processor has one thread for all requests that come
// from it, and through /dev/fuse no more than there are threads get in. Each task is begun at once, on a
// thread that does nothing else. Threads are made when they are needed and end, but for the
// last, when they have not been for a while (`idle`): to make and end one takes longer than many a task.
//
// Tasks have owners (users, mostly), of whom none can keep the others waiting: an owner has no more threads
// than he leaves free. So one alone gets half of them, two get a third each, and there is always one for
// somebody who comes new. His further tasks wait; the owner with the fewest threads is served next.
//
// Any thread may call. Where no thread can be made, Post lets tasks wait for each other, and TryPost refuses
// (false). The destructor waits for what was posted. A task must not throw; it is destroyed on its thread.
class ElasticPool {
 public:
  using Owner = uint64_t;
  // Tasks of the program itself: as many at once as there can be threads.
  static constexpr Owner kHouse = ~Owner{0};

  static constexpr size_t kThreadsMax = 512;

  explicit ElasticPool(std::chrono::seconds idle = std::chrono::seconds(5),
                       size_t threads_max = kThreadsMax);
  ~ElasticPool();
  ElasticPool(const ElasticPool&) = delete;
  ElasticPool& operator=(const ElasticPool&) = delete;

  void Post(Owner owner, std::function<void()> task);
  void Post(std::function<void()> task) { Post(kHouse, std::move(task)); }
  bool TryPost(std::function<void()> task);  // of the house

 private:
  struct Share {
    std::deque<std::function<void()>> tasks;
    size_t threads = 0;
  };
  using Shares = std::map<Owner, Share>;  // of those who have tasks or threads

  void Run();
  // These with the lock held.
  Shares::iterator Next();
  bool MayBegin(const Shares::value_type& share) const;
  void Add(Owner owner, std::function<void()> task);
  bool MakeThread();

  const std::chrono::seconds idle_time_;
  const size_t threads_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Shares shares_;
  size_t waiting_ = 0;  // tasks that are not begun
  size_t threads_ = 1;
  size_t busy_ = 0;  // of them
  bool stopping_ = false;
};

}  // namespace ckptfs
