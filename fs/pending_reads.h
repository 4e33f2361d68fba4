// Requests that wait for an answer of `ckpt`'s control file.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

struct fuse_req;

namespace ckptfs {

// A read of a control file can wait for minutes (an import), and whoever waits must be able to be
// killed: the kernel lets a process die only when the request that it sent is answered, so an
// interrupt is answered with EINTR. Each request is answered once, by whichever comes first. Any
// thread may call.
class PendingReads {
 public:
  // From now on either Finish or an interrupt answers `request`.
  void Add(fuse_req* request);
  // Answers with data, unless an interrupt was faster.
  void Finish(fuse_req* request, const std::string& data);

 private:
  static void OnInterrupt(fuse_req* request, void* self);

  std::mutex mutex_;
  std::unordered_set<fuse_req*> waiting_;
};

}  // namespace ckptfs
