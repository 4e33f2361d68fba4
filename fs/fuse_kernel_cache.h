// KernelCache over a libfuse session.
#pragma once

#include "fs/kernel_cache.h"

struct fuse_session;

namespace ckptfs {

// Does nothing until Attach, and after the session has ended. Any thread may call.
class FuseKernelCache : public KernelCache {
 public:
  void Attach(fuse_session* session) noexcept { session_ = session; }

  void InvalidateAttributes(NodeId node) noexcept override;
  void InvalidateContent(NodeId node) noexcept override;
  bool IncrementEpoch() noexcept override;
  void ExpireName(NodeId directory, const std::string& name) noexcept override;
  void AwaitListings(NodeId directory) noexcept override;
  int OpenBacking(int fd) noexcept override;
  void CloseBacking(int backing_id) noexcept override;

 private:
  fuse_session* session_ = nullptr;
};

}  // namespace ckptfs
