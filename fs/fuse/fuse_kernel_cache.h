// KernelCache for a libfuse session.
#pragma once

#include <memory>

#include "backend/base/mutex.h"
#include "fs/nodes/kernel_cache.h"

struct fuse_session;

namespace ckptfs {

// Does nothing before Attach and after Detach. Thread-safe.
class FuseKernelCache : public KernelCache {
 public:
  void Attach(std::shared_ptr<fuse_session> session);
  // A call in progress keeps the session alive until it ends.
  void Detach() { Attach(nullptr); }

  bool InvalidateAttributes(NodeId node) noexcept override;
  void InvalidateContent(NodeId node, int64_t offset) noexcept override;
  void ZeroPages(NodeId node, int64_t begin, int64_t end) noexcept override;
  void ExpireName(NodeId directory, const std::string& name) noexcept override;
  void DropNamesBelow(NodeId directory, const std::string& name) noexcept override;
  void AwaitLookups(NodeId directory) noexcept override;
  int OpenBacking(int fd) noexcept override;
  void CloseBacking(int backing_id) noexcept override;

 private:
  std::shared_ptr<fuse_session> Session() const;

  mutable Mutex mutex_;
  std::shared_ptr<fuse_session> session_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
