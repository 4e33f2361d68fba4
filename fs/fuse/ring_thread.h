// What only the thread that serves a ring may do.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <csignal>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

struct io_uring;

namespace ckptfs {

// With FUSE over io_uring libfuse (3.18) has one thread for each processor's ring. An answer goes to the
// kernel by that ring, and libfuse lets any thread give it. Two things then go wrong, both seen:
//
// - The command that carries an answer also fetches the next request, and the kernel cancels a thread's
//   commands when it ends (io_uring_files_cancel). The ring loses an entry, a request that was just
//   given to it ends with ECANCELED, and when all entries are gone the processor's requests hang.
// - The ring's thread flushes its submission queue without the lock that other threads take to fill
//   it, and liburing's queue is for one thread at a time.
//
// So an answer by another thread is handed to the ring's own. That sleeps in io_uring_submit_and_wait,
// whose place ours takes (ring_thread.cc): a signal, let through only there, ends its sleep.
//
// One object for each ring's thread, from its first wait to its end. Any thread may call Run.
class RingThread {
 public:
  // Of the calling thread; null if it serves no ring.
  static std::shared_ptr<RingThread> Current();

  RingThread();
  ~RingThread() = default;
  RingThread(const RingThread&) = delete;
  RingThread& operator=(const RingThread&) = delete;

  // Runs `task` on this thread and returns when that has been done. False if the thread has ended:
  // then the mount is going, and nobody waits for an answer. The caller holds nothing that a request
  // handler waits for.
  bool Run(const std::function<void()>& task);

  // Takes the place of io_uring_submit_and_wait on this thread.
  int SubmitAndWait(io_uring* ring, unsigned int count);
  void End();

 private:
  struct Task {
    const std::function<void()>* run = nullptr;
    bool done = false;
  };

  void RunTasks();

  const pthread_t thread_;
  sigset_t waiting_{};  // the signals that are kept away while it sleeps
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task*> tasks_;
  bool ended_ = false;
};

}  // namespace ckptfs
