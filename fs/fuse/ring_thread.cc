#include "fs/fuse/ring_thread.h"

#include <liburing.h>
#include <sys/prctl.h>

#include <cerrno>
#include <csignal>
#include <utility>

namespace ckptfs {
namespace {

// Ignored by default, so a late signal harms nothing.
constexpr int kWakeSignal = SIGURG;

// A thread's, from its first wait to its end.
struct Registration {
  Registration() = default;
  ~Registration() {
    if (thread) thread->End();
  }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

  std::shared_ptr<RingThread> thread;
};

thread_local Registration registration;

}  // namespace

std::shared_ptr<RingThread> RingThread::Current() { return registration.thread; }

RingThread::RingThread() : thread_(pthread_self()) {
  struct sigaction action {};
  action.sa_handler = [](int) {};  // only its arrival matters: no SA_RESTART
  sigaction(kWakeSignal, &action, nullptr);
  sigset_t wake;
  sigemptyset(&wake);
  sigaddset(&wake, kWakeSignal);
  pthread_sigmask(SIG_BLOCK, &wake, &waiting_);
  sigdelset(&waiting_, kWakeSignal);
}

bool RingThread::Run(const std::function<void()>& task) {
  if (pthread_equal(thread_, pthread_self()) != 0) {
    task();
    return true;
  }
  Task entry{.run = &task};
  MutexLock lock(mutex_);
  if (ended_) return false;
  tasks_.push_back(&entry);
  pthread_kill(thread_, kWakeSignal);
  changed_.wait(lock.native(), [&]() REQUIRES(mutex_) { return entry.done || ended_; });
  return entry.done;
}

void RingThread::RunTasks() {
  MutexLock lock(mutex_);
  while (!tasks_.empty()) {
    Task* const task = tasks_.front();
    tasks_.pop_front();
    lock.Unlock();
    (*task->run)();
    lock.Lock();
    task->done = true;
    changed_.notify_all();
  }
}

void RingThread::End() {
  RunTasks();
  const MutexLock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

int RingThread::SubmitAndWait(io_uring* ring, unsigned int count) {
  while (true) {
    RunTasks();
    // In two calls: a call that has submitted something does not report that a signal ended its wait.
    if (io_uring_sq_ready(ring) != 0) {
      const int submitted = io_uring_submit(ring);
      if (submitted < 0) return submitted;
    }
    if (io_uring_cq_ready(ring) >= count) return 0;
    const int result = io_uring_enter(static_cast<unsigned>(ring->ring_fd), 0, count,
                                      IORING_ENTER_GETEVENTS, &waiting_);
    if (result != -EINTR) return result;
    // A signal for anything but tasks ends the wait, as without this class.
    const MutexLock lock(mutex_);
    if (tasks_.empty()) return result;
  }
}

}  // namespace ckptfs

// libfuse's call resolves to this function, because the program's own symbols take precedence over those of
// libraries. Nothing else in the program uses liburing.
extern "C" int io_uring_submit_and_wait(io_uring* ring, unsigned wait_nr) {
  std::shared_ptr<ckptfs::RingThread>& current = ckptfs::registration.thread;
  if (!current) current = std::make_shared<ckptfs::RingThread>();
  return current->SubmitAndWait(ring, wait_nr);
}
