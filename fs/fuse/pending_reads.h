// Requests that wait for an answer of `ckpt`'s control file.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "backend/base/periodic_timer.h"
#include "backend/base/serial_executor.h"
#include "fs/control/control.h"
#include "fs/fuse/ring_thread.h"

struct fuse_req;

namespace ckptfs {

// A read of a control file can wait for minutes (an import), and whoever waits must be able to be
// killed: the kernel lets a process die only when the request that it sent is answered. So an
// interrupt makes the session answer it, with an empty line, which loses nothing. Of requests that come
// by a ring libfuse (3.18) forgets which they are, and drops the kernel's word that one is interrupted:
// whether a signal waits for the threads that have sent them is looked at several times a second. Any thread
// may call.
class PendingReads {
 public:
  // Reads from `session` for `request`, which is answered now or later.
  void Read(fuse_req* request, const std::shared_ptr<ControlSession>& session, size_t max_bytes);

 private:
  void Finish(fuse_req* request, const std::string& data);
  // Of those by rings; false if none waits.
  bool LookForInterrupted();
  void Interrupt(fuse_req* request);
  static void OnInterrupt(fuse_req* request, void* self) noexcept;

  std::mutex mutex_;
  struct Waiting {
    std::weak_ptr<ControlSession> session;
    std::shared_ptr<RingThread> ring;  // that the request came by
    pid_t thread = 0;                  // that sent it; 0: it is in a PID namespace of its own
  };

  std::unordered_map<fuse_req*, Waiting> waiting_;
  // libfuse holds the request's lock while it tells of an interrupt: answered elsewhere. These are last, as
  // their tasks use the rest.
  SerialExecutor interrupter_;
  PeriodicTimer watcher_{std::chrono::milliseconds(100), [this] { return LookForInterrupted(); }};
};

}  // namespace ckptfs
