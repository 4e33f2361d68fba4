// The calls that WriteBarrier needs from its helper process.
#pragma once

#include <optional>
#include <vector>

#include "fs/nodes/node_id.h"

namespace ckptfs {

// Makes setxattr(2) calls on files of the mount, each in its own thread. Each call waits first for the file's
// inode lock, then for the daemon's answer.
class BarrierCalls {
 public:
  // In a namespace that only root may use.
  static constexpr char kXattrName[] = "trusted.ckptfs.write-stop";
  // Limit for one Start.
  static constexpr size_t kBatchMax = 256;

  // A call that has returned and no longer holds the mount open.
  struct Report {
    NodeId node = 0;
    int error =
        0;  // unexpected errno: neither the daemon's answer nor the file's removal explains it; 0: none
  };

  enum class Taken { kAll, kBusy, kGone };

  virtual ~BarrierCalls() = default;

  // Never waits. kBusy: the files were not taken, try again later. kGone: the helper is gone for good.
  virtual Taken Start(const std::vector<NodeHandle>& files) = 0;
  // Waits for the next report; empty: no more will come. Used by one thread at a time.
  virtual std::optional<Report> Receive() = 0;
  // Makes Receive return empty.
  virtual void HangUp() = 0;
};

}  // namespace ckptfs
