// Requests that wait for an answer of `ckpt`'s control file.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>

#include "backend/base/mutex.h"
#include "backend/base/periodic_timer.h"
#include "backend/base/serial_executor.h"
#include "fs/control/control.h"
#include "fs/fuse/ring_thread.h"

struct fuse_req;

namespace ckptfs {

// A read of a control file can wait for minutes (an import), and its caller must remain killable: the kernel
// lets a process die only when its request is answered. So an interrupt makes the session answer the request
// with an empty line, which loses nothing. For requests that came by a ring, libfuse (3.18) does not track
// them and drops the kernel's INTERRUPT: instead, this checks several times a second whether a signal is
// pending for the requesting threads. Thread-safe.
class PendingReads {
 public:
  // Reads from `session` for `request`, which is answered now or later.
  void Read(fuse_req* request, const std::shared_ptr<ControlSession>& session, size_t max_bytes);

 private:
  void Finish(fuse_req* request, const std::string& data);
  // Checks those that came by rings; false if none waits.
  bool LookForInterrupted();
  void Interrupt(fuse_req* request);
  static void OnInterrupt(fuse_req* request, void* self) noexcept;

  Mutex mutex_;
  struct Waiting {
    std::weak_ptr<ControlSession> session;
    std::shared_ptr<RingThread> ring;  // the ring that the request came by
    pid_t thread = 0;                  // that sent it; 0: it is in a PID namespace of its own
  };

  std::unordered_map<fuse_req*, Waiting> waiting_ GUARDED_BY(mutex_);
  // libfuse holds the request's lock while it reports an interrupt, so it is answered on another thread.
  // Last, because their tasks use the rest.
  SerialExecutor interrupter_;
  PeriodicTimer watcher_{std::chrono::milliseconds(100), [this] { return LookForInterrupted(); }};
};

}  // namespace ckptfs
