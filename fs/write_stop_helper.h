// The process that makes writers wait: WriteStop's other half.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "fs/node_id.h"

namespace ckptfs {

// A child process that on demand calls setxattr(2) on files of the mount, each in a thread of its
// own, as every one of these calls waits for the daemon's answer. It is no part of the daemon: the
// kernel kills no process that waits for an answer of FUSE until the connection ends, and that ends
// only with the daemon's last thread. It holds nothing of the daemon's but one end of a socket, ends
// when the other end is closed, however that came, and has the mount open only during a stop.
//
// Used by one thread at a time.
class WriteStopHelper {
 public:
  static constexpr size_t kFilesMax = 256;
  // In a name space that only root may use. The value is the stop's token.
  static constexpr char kXattrName[] = "trusted.ckptfs.write-stop";

  // What the daemon answers. (EAGAIN would reach the caller as EOPNOTSUPP.)
  static constexpr int kAnswer = ECANCELED;

  struct Report {
    uint64_t token = 0;
    int error = 0;  // an errno that no answer of the daemon explains; 0: none
  };

  // Forks: to be called while the process has one thread, and nothing that must not be inherited.
  WriteStopHelper();
  ~WriteStopHelper();
  WriteStopHelper(const WriteStopHelper&) = delete;
  WriteStopHelper& operator=(const WriteStopHelper&) = delete;

  // Tells it where the mount is, once that is there.
  void SetMountpoint(const std::string& mountpoint);
  // False if the helper is gone or cannot take it.
  bool Start(uint64_t token, const std::vector<NodeId>& nodes);
  // The next report that arrives before `deadline`. Each Start is reported once, when all its calls
  // have returned and the mount has been let go.
  std::optional<Report> Receive(std::chrono::steady_clock::time_point deadline);

 private:
  UniqueFd socket_;
  pid_t pid_ = -1;
};

}  // namespace ckptfs
