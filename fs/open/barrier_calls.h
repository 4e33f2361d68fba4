// What WriteBarrier asks of the process that makes its calls.
#pragma once

#include <optional>
#include <vector>

#include "fs/nodes/node_id.h"

namespace ckptfs {

// Makes setxattr(2) calls on files of the mount, each in a thread of its own: every one of them waits
// until the file's lock is free, and then for the daemon's answer.
class BarrierCalls {
 public:
  // In a name space that only root may use.
  static constexpr char kXattrName[] = "trusted.ckptfs.write-stop";
  // In one Start.
  static constexpr size_t kBatchMax = 256;

  // A call that has returned, and has let go of the mount.
  struct Report {
    NodeId node = 0;
    int error =
        0;  // an errno that neither the daemon's answer nor the file's end explains; 0: none
  };

  enum class Taken { kAll, kBusy, kGone };

  virtual ~BarrierCalls() = default;

  // Never waits. kBusy: none was taken, for now. kGone: nor ever will be.
  virtual Taken Start(const std::vector<NodeHandle>& files) = 0;
  // Waits for the next one; empty: none will come. By one thread at a time.
  virtual std::optional<Report> Receive() = 0;
  // Lets Receive return empty.
  virtual void HangUp() = 0;
};

}  // namespace ckptfs
