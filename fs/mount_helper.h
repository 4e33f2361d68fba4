// The process that uses the mount for the daemon.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "fs/node_id.h"

namespace ckptfs {

// Two child processes that make calls on files of the mount that the daemon needs somebody to make. They
// are no part of the daemon: the kernel kills no process that waits for an answer of FUSE until the
// connection ends, and that ends only with the daemon's last thread. Each holds nothing of the daemon's but
// one end of a socket, ends when the other end is closed, however that came, and has the mount open only
// during a call.
//
// - For WriteStop: setxattr(2) on files, each in a thread of its own, as every one of these calls waits
//   for the daemon's answer. `Start` and `Receive` are used by one thread at a time.
// - For SettlingNames: a look at a name. `LookUp` may be called by any thread.
class MountHelper {
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
  MountHelper();
  ~MountHelper();
  MountHelper(const MountHelper&) = delete;
  MountHelper& operator=(const MountHelper&) = delete;

  // Tells it where the mount is, once that is there.
  void SetMountpoint(const std::string& mountpoint);
  // False if the helper is gone or cannot take it.
  bool Start(uint64_t token, const std::vector<NodeHandle>& files);
  // The next report that arrives before `deadline`. Each Start is reported once, when all its calls
  // have returned and the mount has been let go.
  std::optional<Report> Receive(std::chrono::steady_clock::time_point deadline);

  // Has the kernel look up a name in the mount root, or one in a directory there. Waits until it has, or
  // `time_max` has passed.
  void LookUp(const std::string& name, std::chrono::milliseconds time_max);
  // The process that looks up names: nothing that it asks for may wait for who has called LookUp.
  pid_t looker() const noexcept { return names_pid_; }

 private:
  UniqueFd socket_;  // for write stops
  std::mutex names_mutex_;
  UniqueFd names_socket_;  // for names; each asks and waits for its answer with the lock held
  uint64_t names_asked_ = 0;
  pid_t pid_ = -1;
  pid_t names_pid_ = -1;
};

}  // namespace ckptfs
