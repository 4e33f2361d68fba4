// Helper processes that use the mount on the daemon's behalf.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"
#include "fs/nodes/node_id.h"
#include "fs/open/barrier_calls.h"

namespace ckptfs {

// Two child processes that make calls on files of the mount for the daemon. They are separate processes
// because the kernel kills no process that waits for a FUSE reply until the connection ends, and the
// connection ends only with the daemon's last thread. Each inherits nothing from the daemon but one end of a
// socket, exits when the other end is closed for whatever reason, and has the mount open only during a call.
//
// - For WriteBarrier: setxattr(2) on files, each in its own thread. A call that waits for a file's inode lock
//   cannot be cancelled and its process cannot be killed: the process may outlive the daemon, and ends with
//   the last write that it waits behind.
// - For SettlingNames: a lookup of a name. `LookUp` is thread-safe.
class MountHelper : public BarrierCalls {
 public:
  // The daemon's answer. (EAGAIN would reach the caller as EOPNOTSUPP.)
  static constexpr int kAnswer = ECANCELED;

  // Forks: call while the process has one thread and holds nothing that must not be inherited.
  MountHelper();
  ~MountHelper() override;
  MountHelper(const MountHelper&) = delete;
  MountHelper& operator=(const MountHelper&) = delete;

  // Tells the helper where the mount is, after mounting.
  void SetMountpoint(const std::string& mountpoint);

  Taken Start(const std::vector<NodeHandle>& files) override;
  std::optional<Report> Receive() override;
  void HangUp() override;

  // Makes the kernel look up a name in the mount root, or in a directory there. Waits until that is done or
  // `time_max` has passed.
  void LookUp(const std::string& name, std::chrono::milliseconds time_max);
  // PID of the process that looks up names: its requests must never wait for the caller of LookUp.
  pid_t looker() const noexcept { return names_pid_; }

 private:
  UniqueFd socket_;  // for write barriers
  Mutex names_mutex_;
  UniqueFd names_socket_
      GUARDED_BY(names_mutex_);  // for names; held from sending a request until its answer arrives
  uint64_t names_asked_ GUARDED_BY(names_mutex_) = 0;
  pid_t pid_ = -1;
  pid_t names_pid_ = -1;
};

}  // namespace ckptfs
