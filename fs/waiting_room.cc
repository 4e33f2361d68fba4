#include "fs/waiting_room.h"

#include <exception>
#include <thread>
#include <utility>

namespace ckptfs {

WaitingRoom::WaitingRoom(std::chrono::seconds idle, size_t threads_max)
    : idle_time_(idle), threads_max_(threads_max), threads_(1) {
  std::thread([this] { Run(); }).detach();
}

WaitingRoom::~WaitingRoom() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return threads_ == 0; });
}

void WaitingRoom::Post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  changed_.notify_one();
  if (tasks_.size() > threads_ - busy_)
    MakeThread();  // or it waits for one of those that there are
}

bool WaitingRoom::TryPost(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  if (tasks_.size() >= threads_ - busy_ && !MakeThread()) return false;
  tasks_.push_back(std::move(task));
  changed_.notify_one();
  return true;
}

bool WaitingRoom::MakeThread() {
  if (threads_ >= threads_max_) return false;
  try {
    std::thread([this] { Run(); }).detach();
  } catch (const std::exception&) {  // no thread, no memory
    return false;
  }
  ++threads_;
  return true;
}

void WaitingRoom::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    const bool called =
        changed_.wait_for(lock, idle_time_, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) {
      if (called || threads_ > 1) break;
      continue;
    }
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    ++busy_;
    lock.unlock();
    task();
    task = nullptr;  // what it holds may take long to go
    lock.lock();
    --busy_;
  }
  // With the lock held: the destructor goes on when it is given back, after the last use of this.
  if (--threads_ == 0) std::notify_all_at_thread_exit(changed_, std::move(lock));
}

}  // namespace ckptfs
