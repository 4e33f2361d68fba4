// Threads for what must wait.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace ckptfs {

// With FUSE over io_uring each processor has one thread for all requests that come from it. What would
// keep that thread (a gate that is shut, an fsync, a large copy) is done here instead: each task at
// once, on a thread that does nothing else. Threads are made when they are needed and end, but for the
// last, when they have not been for a while (`idle`): to make and end one takes longer than many a task.
// Any thread may call. Where no thread can be made, Post lets tasks wait for each other, and TryPost
// refuses (false). The destructor waits for what was posted. A task must not throw; it is destroyed on its thread.
class WaitingRoom {
 public:
  explicit WaitingRoom(std::chrono::seconds idle = std::chrono::seconds(5),
                       size_t threads_max = kThreadsMax);
  ~WaitingRoom();
  WaitingRoom(const WaitingRoom&) = delete;
  WaitingRoom& operator=(const WaitingRoom&) = delete;

  void Post(std::function<void()> task);
  bool TryPost(std::function<void()> task);

 private:
  // More requests than a ring has entries for cannot be under way; see fuse_mount.cc.
  static constexpr size_t kThreadsMax = 512;

  void Run();
  bool MakeThread();

  const std::chrono::seconds idle_time_;
  const size_t threads_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  size_t threads_ = 0;
  size_t busy_ = 0;  // of them
  bool stopping_ = false;
};

}  // namespace ckptfs
