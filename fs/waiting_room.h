// Threads for requests that must wait.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace ckptfs {

// With FUSE over io_uring each processor has one thread for all requests that come from it. What would
// keep that thread (a gate that is shut, an fsync, a large copy) is done here instead: each task at
// once, on a thread that does nothing else. Threads are made when they are needed and end when they
// have not been for a while. Any thread may call Post. The destructor waits for what was posted. A
// task must not throw.
class WaitingRoom {
 public:
  WaitingRoom() = default;
  ~WaitingRoom();
  WaitingRoom(const WaitingRoom&) = delete;
  WaitingRoom& operator=(const WaitingRoom&) = delete;

  void Post(std::function<void()> task);

 private:
  // More requests than a ring has entries for cannot be under way; see fuse_mount.cc.
  static constexpr size_t kThreadsMax = 512;

  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  size_t threads_ = 0;
  size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace ckptfs
