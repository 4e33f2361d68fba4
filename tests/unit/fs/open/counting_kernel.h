// A KernelCache for tests of what is decided and counted here, without a mount.
#pragma once

#include <cstdint>
#include <string>

#include "fs/nodes/kernel_cache.h"

namespace ckptfs {

class CountingKernel : public KernelCache {
 public:
  bool InvalidateAttributes(NodeId /*node*/) noexcept override { return false; }
  void InvalidateContent(NodeId /*node*/, int64_t /*offset*/) noexcept override {}
  void ZeroPages(NodeId /*node*/, int64_t /*begin*/, int64_t /*end*/) noexcept override {}
  void ExpireName(NodeId /*directory*/, const std::string& /*name*/) noexcept override {}
  void DropNamesBelow(NodeId /*directory*/, const std::string& /*name*/) noexcept override {}
  void AwaitLookups(NodeId /*directory*/) noexcept override {}
  int OpenBacking(int /*fd*/) noexcept override { return ++opened; }
  void CloseBacking(int /*backing_id*/) noexcept override { ++closed; }

  int opened = 0;
  int closed = 0;
};

}  // namespace ckptfs
