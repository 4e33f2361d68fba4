#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/pending_reads.h"

#include <fuse_lowlevel.h>

#include <cerrno>

namespace ckptfs {

// libfuse may use a request's memory again once it is answered. Only a request that is still in
// the set is answered, and it is taken out under the lock first: an interrupt that comes too late
// finds nothing. (It could find a later request at the same address; that one then ends with EINTR
// although nobody interrupted it, which its reader meets as any other signal.)

void PendingReads::Add(fuse_req* request) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.insert(request);
  }
  fuse_req_interrupt_func(request, OnInterrupt, this);
}

void PendingReads::Finish(fuse_req* request, const std::string& data) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.erase(request) == 0) return;
  }
  fuse_reply_buf(request, data.data(), data.size());
}

void PendingReads::OnInterrupt(fuse_req* request, void* self) {
  auto& reads = *static_cast<PendingReads*>(self);
  {
    const std::lock_guard lock(reads.mutex_);
    if (reads.waiting_.erase(request) == 0) return;
  }
  fuse_reply_err(request, EINTR);
}

}  // namespace ckptfs
