// What only the thread that serves a ring may do.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <csignal>
#include <deque>
#include <functional>
#include <memory>

#include "backend/base/mutex.h"

struct io_uring;

namespace ckptfs {

// With FUSE over io_uring libfuse (3.18) has one thread for each processor's ring. An answer goes to the
// kernel through that ring, and libfuse lets any thread send it. Two failures were observed:
//
// - The command that carries an answer also fetches the next request, and the kernel cancels a thread's
//   commands when it ends (io_uring_files_cancel). The ring loses an entry, a request just assigned to it
//   fails with ECANCELED, and when all entries are gone the processor's requests hang.
// - The ring's thread flushes its submission queue without the lock that other threads take to fill it, and
//   liburing's queue must be used by one thread at a time.
//
// So an answer by another thread is handed to the ring's thread. That thread sleeps in
// io_uring_submit_and_wait, which is replaced by SubmitAndWait (ring_thread.cc): a signal, unblocked only
// there, ends the sleep.
//
// One object for each ring's thread, from its first wait to its end. Run is thread-safe.
class RingThread {
 public:
  // Of the calling thread; null if it serves no ring.
  static std::shared_ptr<RingThread> Current();

  RingThread();
  ~RingThread() = default;
  RingThread(const RingThread&) = delete;
  RingThread& operator=(const RingThread&) = delete;

  // Runs `task` on the ring's thread and returns when it is done. False if the thread has ended: then the
  // mount is going away and no answer is needed. The caller must hold nothing that a request handler waits
  // for.
  bool Run(const std::function<void()>& task);

  // Replaces io_uring_submit_and_wait on this thread.
  int SubmitAndWait(io_uring* ring, unsigned int count);
  void End();

 private:
  struct Task {
    const std::function<void()>* run = nullptr;
    bool done = false;
  };

  void RunTasks();

  const pthread_t thread_;
  sigset_t waiting_{};  // the signal mask while it sleeps
  Mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task*> tasks_ GUARDED_BY(mutex_);
  bool ended_ GUARDED_BY(mutex_) = false;
};

}  // namespace ckptfs
