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
#include "fs/nodes/node_id.h"
#include "fs/open/barrier_calls.h"

namespace ckptfs {

// Two child processes that make calls on files of the mount that the daemon needs somebody to make. They
// are no part of the daemon: the kernel kills no process that waits for an answer of FUSE until the
// connection ends, and that ends only with the daemon's last thread. Each holds nothing of the daemon's but
// one end of a socket, ends when the other end is closed, however that came, and has the mount open only
// during a call.
//
// - For WriteBarrier: setxattr(2) on files, each in a thread of its own. A call that waits for a file's lock
//   cannot be called back, nor can its process be killed: that one may outlive the daemon, and ends with
//   the last write that it stands behind.
// - For SettlingNames: a look at a name. `LookUp` may be called by any thread.
class MountHelper : public BarrierCalls {
 public:
  // What the daemon answers. (EAGAIN would reach the caller as EOPNOTSUPP.)
  static constexpr int kAnswer = ECANCELED;

  // Forks: to be called while the process has one thread, and nothing that must not be inherited.
  MountHelper();
  ~MountHelper() override;
  MountHelper(const MountHelper&) = delete;
  MountHelper& operator=(const MountHelper&) = delete;

  // Tells it where the mount is, once that is there.
  void SetMountpoint(const std::string& mountpoint);

  Taken Start(const std::vector<NodeHandle>& files) override;
  std::optional<Report> Receive() override;
  void HangUp() override;

  // Has the kernel look up a name in the mount root, or one in a directory there. Waits until it has, or
  // `time_max` has passed.
  void LookUp(const std::string& name, std::chrono::milliseconds time_max);
  // The process that looks up names: nothing that it asks for may wait for who has called LookUp.
  pid_t looker() const noexcept { return names_pid_; }

 private:
  UniqueFd socket_;  // for write barriers
  std::mutex names_mutex_;
  UniqueFd names_socket_;  // for names; each asks and waits for its answer with the lock held
  uint64_t names_asked_ = 0;
  pid_t pid_ = -1;
  pid_t names_pid_ = -1;
};

}  // namespace ckptfs
