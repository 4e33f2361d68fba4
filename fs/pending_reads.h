// Requests that wait for an answer of `ckpt`'s control file.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "fs/control.h"
#include "fs/ring_thread.h"
#include "fs/task_thread.h"

struct fuse_req;

namespace ckptfs {

// A read of a control file can wait for minutes (an import), and whoever waits must be able to be
// killed: the kernel lets a process die only when the request that it sent is answered. So an
// interrupt makes the session answer it, with an empty line, which loses nothing. Any thread may
// call.
class PendingReads {
 public:
  // Reads from `session` for `request`, which is answered now or later.
  void Read(fuse_req* request, const std::shared_ptr<ControlSession>& session, size_t max_bytes);

 private:
  void Finish(fuse_req* request, const std::string& data);
  void Interrupt(fuse_req* request);
  static void OnInterrupt(fuse_req* request, void* self) noexcept;

  std::mutex mutex_;
  struct Waiting {
    std::weak_ptr<ControlSession> session;
    std::shared_ptr<RingThread> ring;  // that the request came by
  };

  std::unordered_map<fuse_req*, Waiting> waiting_;
  // libfuse holds the request's lock while it tells of an interrupt: answered elsewhere. Last, as
  // its tasks use the rest.
  TaskThread interrupter_;
};

}  // namespace ckptfs
