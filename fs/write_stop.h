// Keeps the writes to open files waiting for the moment of a checkpoint.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs/mount_helper.h"
#include "fs/node_id.h"

namespace ckptfs {

// What the daemon does not carry it cannot hold: the data of a file that passes through goes from
// the program straight to the backing file, and a program that writes A, then B, could find B but
// not A in a checkpoint that wrote A out before the one and B after the other. But the kernel takes
// a file's inode lock for each write(2), also for one that passes through
// (fuse_passthrough_write_iter), and it holds that same lock while it waits for the answer to a
// setxattr(2). So a setxattr on the file that the daemon leaves unanswered makes its writers wait.
// A helper process makes these calls, as the kernel could never end a daemon that waits for itself.
//
// Order of locks: a change that waits at the gate holds the inode locks of its files too. So a stop
// never waits for a file with a change at the gate: nobody can write to that one anyhow. Neither
// does it wait for long for a write that is under way; the helper's call stands in the queue behind
// it, and before all later ones. Stores through mappings are not stopped.
//
// Owned by the mount. Stop is called by one thread at a time, Park by any.
class WriteStop {
 public:
  // The writes wait while it exists. Its end waits for the helper to have let go of the mount, which
  // could not be unmounted otherwise.
  class Stopped {
   public:
    Stopped(WriteStop& owner, uint64_t token) : owner_(owner), token_(token) {}
    ~Stopped() { owner_.Release(token_); }
    Stopped(const Stopped&) = delete;
    Stopped& operator=(const Stopped&) = delete;
    uint64_t token() const noexcept { return token_; }

   private:
    WriteStop& owner_;
    const uint64_t token_;
  };

  explicit WriteStop(MountHelper& helper) : helper_(helper) {}

  // Stops writes to `files`, of which each is open for writing. `waits_at_gate` tells whether
  // a change of that file waits at the gate. Null if nothing can be stopped (the helper is gone, or
  // was refused: said once in the log); later ones then find nothing to do. Beyond
  // MountHelper::kFilesMax files the rest goes on.
  std::unique_ptr<Stopped> Stop(std::vector<NodeHandle> files,
                                const std::function<bool(NodeId)>& waits_at_gate);

  // Whether a setxattr is one of the helper's; it is then answered by `answer`, at once or, while
  // its stop lasts, at the end of that, by another thread.
  bool Park(NodeId node, std::string_view xattr_name, std::string_view value,
            const std::function<void()>& answer);

 private:
  void Release(uint64_t token);
  void AwaitReport(uint64_t token);
  void GiveUp(const std::string& why);

  MountHelper& helper_;
  bool given_up_ = false;  // Stop's thread only
  std::mutex mutex_;       // guards what follows
  std::condition_variable parked_one_;
  uint64_t last_token_ = 0;
  uint64_t token_ = 0;  // of the stop that lasts; 0: none
  std::unordered_map<NodeId, std::function<void()>> parked_;
};

}  // namespace ckptfs
