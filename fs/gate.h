// Lets one operation hold all others for a moment.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace ckptfs {

// The gate that the changing operations of one live tree pass. A checkpoint or a rollback closes
// it: operations that come later wait, those inside are waited for. Unlike std::shared_mutex it
// never lets a stream of newcomers starve the one that wants to close it. Any thread may call.
class Gate {
 public:
  // Inside the gate while it exists. Never taken twice by one thread: the second would wait for a
  // closing that waits for the first.
  class Pass {
   public:
    explicit Pass(Gate& gate) : gate_(gate) { gate_.Enter(); }
    ~Pass() { gate_.Leave(); }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    Gate& gate_;
  };

  // The gate is shut and empty while it exists.
  class Closed {
   public:
    explicit Closed(Gate& gate) : gate_(gate) { gate_.Close(); }
    ~Closed() { gate_.Open(); }
    Closed(const Closed&) = delete;
    Closed& operator=(const Closed&) = delete;

   private:
    Gate& gate_;
  };

 private:
  void Enter() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !closed_; });
    ++inside_;
  }

  void Leave() {
    const std::lock_guard lock(mutex_);
    if (--inside_ == 0 && closed_) changed_.notify_all();
  }

  void Close() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !closed_; });
    closed_ = true;
    changed_.wait(lock, [this] { return inside_ == 0; });
  }

  void Open() {
    const std::lock_guard lock(mutex_);
    closed_ = false;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t inside_ = 0;
  bool closed_ = false;
};

}  // namespace ckptfs
