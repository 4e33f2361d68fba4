// Blocks writes to open files during a checkpoint.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "backend/base/mutex.h"
#include "fs/nodes/node_id.h"
#include "fs/open/barrier_calls.h"
#include "fs/open/barrier_shares.h"

namespace ckptfs {

// The daemon cannot block data that it does not carry: data of a passthrough file goes straight from the
// program to the backing file. If a program writes A and then B, a checkpoint that flushed A's file before
// the writes and B's file after them could contain B without A. But the kernel takes a file's inode lock for
// each write(2), also with passthrough (fuse_passthrough_write_iter), and holds the same lock while it waits
// for the answer to a setxattr(2). So a setxattr on the file that the daemon leaves unanswered blocks its
// writers. A helper process makes these calls, because the kernel could never end a daemon that waits for
// itself.
//
// A call queues behind the write in progress and ahead of all later ones. It cannot be cancelled, and a write
// may never end. So a call that has not got the lock when its stop ends stays queued, and a later stop of
// that file waits for the same call. Each workspace has a share of the calls (BarrierShares), so no user's
// writes use up those of another.
//
// Lock order: a change that waits at the freeze lock also holds the inode locks of its files. So a stop never
// waits for a file with a change at the freeze lock, which cannot be written to anyway. Stores through
// mappings are not stopped.
//
// Owned by the mount. Thread-safe; at most one stop per workspace at a time. Stops of different workspaces do
// not wait for each other, except for large ones when these exceed what the kernel's queues take (kHeldMax).
class WriteBarrier {
 public:
  // Writes are blocked while it exists. The destructor waits until the helper no longer holds the mount open,
  // which would prevent unmounting.
  class Stopped {
   public:
    Stopped(WriteBarrier& owner, int64_t workspace) : owner_(owner), workspace_(workspace) {}
    ~Stopped() { owner_.Release(*this); }
    Stopped(const Stopped&) = delete;
    Stopped& operator=(const Stopped&) = delete;

    // Why some writes are not blocked, in words for the workspace's user; empty: all are blocked.
    const std::string& gap() const noexcept { return gap_; }
    // The gap consists of writes that began a moment ago: another stop may well find them finished.
    bool is_gap_passing() const noexcept { return is_gap_passing_; }
    // Whether writes to that file are blocked by its own call.
    bool Holds(NodeId node) const;

   private:
    friend class WriteBarrier;
    WriteBarrier& owner_;
    const int64_t workspace_;
    std::string gap_;
    bool is_gap_passing_ = false;
    size_t files_ = 0;
    size_t reserved_small_ = 0;  // taken from WriteBarrier::small_room_
    size_t reserved_ = 0;        // taken from WriteBarrier::room_

    // The members below require the owner's mutex.
    bool is_ending_ = false;
    std::vector<NodeHandle> waiting_;  // for a place in the workspace's share
    std::vector<NodeId> called_;       // files with a call, perhaps one from an earlier stop
    size_t out_ = 0;                   // calls of those files that have not been reported yet
    int error_ = 0;                    // errno of a failed call
    bool helper_is_gone_ = false;
    std::condition_variable changed_;
  };

  // Whether a change of that file waits at the freeze lock.
  using GateLook = std::function<bool(NodeId)>;

  // Per workspace; further files are not stopped.
  static constexpr size_t kFilesMax = 256;
  // The total for all current stops: each file keeps one request unanswered, and the kernel has room for this
  // many (fuse_mount.cc). The first kSmall files of each stop are counted separately, so that a workspace
  // with few open files does not depend on the others; no stop gets more than half of the remaining room.
  static constexpr size_t kSmall = 16;
  static constexpr size_t kHeldSmallMax = 24 * kSmall;
  static constexpr size_t kHeldMax = 3 * kFilesMax;

  // `calls` outlives this object.
  explicit WriteBarrier(BarrierCalls& calls);
  ~WriteBarrier();
  WriteBarrier(const WriteBarrier&) = delete;
  WriteBarrier& operator=(const WriteBarrier&) = delete;

  // Stops writes to `files`, each of which is open for writing; if there are too many, to the first ones.
  // Null if there are none.
  std::unique_ptr<Stopped> Stop(int64_t workspace, std::vector<NodeHandle> files,
                                const GateLook& waits_at_gate);

  // Whether a setxattr is one of the helper's. If so, `answer` answers it: at once or, while the file is
  // stopped, at the end of the stop and on another thread.
  bool Park(NodeId node, std::string_view xattr_name, const std::function<void()>& answer);

 private:
  using Clock = std::chrono::steady_clock;

  // A call of the helper.
  struct Call {
    enum class State {
      kOut,       // presumably waits for the inode lock
      kHolding,   // holds the inode lock; the daemon has not answered
      kAnswered,  // answered, about to be reported
    };
    int64_t workspace = 0;
    Clock::time_point since;
    State state = State::kOut;
    Stopped* stop = nullptr;       // the stop that waits for it; null: none
    std::function<void()> answer;  // kHolding
  };

  // Files whose writes are not stopped yet.
  struct Missing {
    size_t fresh = 0;    // their calls may get the lock any moment
    size_t stuck = 0;    // their calls have waited since before this stop
    size_t waiting = 0;  // they have no call

    // Waiting longer changes nothing. (While calls are stuck, no room in the share is waited for.)
    bool IsFinal() const noexcept { return fresh == 0 && (waiting == 0 || stuck != 0); }
  };

  void Reserve(Stopped& stopped, std::vector<NodeHandle>& files, Clock::time_point deadline,
               MutexLock& lock) REQUIRES(mutex_);
  void HandOver(Stopped& stopped, const GateLook& waits_at_gate) REQUIRES(mutex_);
  static bool Adopt(Stopped& stopped, NodeId node, Call& call);
  static void Detach(Stopped& stopped, Call& call);
  Missing Look(const Stopped& stopped, const GateLook& waits_at_gate) const REQUIRES(mutex_);
  static void NoteGap(Stopped& stopped, const Missing& missing);
  void Forget(const Call& call, int error) REQUIRES(mutex_);

  void Release(Stopped& stopped);
  void ReadReports();
  void Reported(const BarrierCalls::Report& report);
  void HelperIsGone();

  BarrierCalls& helper_;
  Mutex mutex_;
  std::condition_variable room_grew_;
  size_t small_room_ GUARDED_BY(mutex_) = kHeldSmallMax;
  size_t room_ GUARDED_BY(mutex_) = kHeldMax;
  BarrierShares shares_ GUARDED_BY(mutex_);                    // of kOut calls
  std::unordered_map<NodeId, Call> calls_ GUARDED_BY(mutex_);  // not reported yet
  std::jthread reader_;                                        // last: uses what is above
};

}  // namespace ckptfs
