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
#include <thread>
#include <unordered_map>
#include <vector>

#include "fs/nodes/node_id.h"
#include "fs/open/barrier_calls.h"
#include "fs/open/barrier_shares.h"

namespace ckptfs {

// What the daemon does not carry it cannot hold: the data of a file that passes through goes from
// the program straight to the backing file, and a program that writes A, then B, could find B but
// not A in a checkpoint that wrote A out before the one and B after the other. But the kernel takes
// a file's inode lock for each write(2), also for one that passes through
// (fuse_passthrough_write_iter), and it holds that same lock while it waits for the answer to a
// setxattr(2). So a setxattr on the file that the daemon leaves unanswered makes its writers wait.
// A helper process makes these calls, as the kernel could never end a daemon that waits for itself.
//
// A call stands in the queue behind the write that is under way, and before all later ones. Nobody can
// call it back, and a write may last for ever. So a call that has not come through when its stop ends
// stays where it is, and a later stop of that file waits for the same one; and each workspace has a
// share of the calls (BarrierShares), so that no user's writes take up those of another.
//
// Order of locks: a change that waits at the freeze lock holds the inode locks of its files too. So a stop
// never waits for a file with a change at the freeze lock: nobody can write to that one anyhow. Stores
// through mappings are not stopped.
//
// Owned by the mount. Any thread may call any function; of one workspace there is one stop at a time.
// Those of different workspaces do not wait for each other, but for the end of large ones where
// these are more than the kernel's queues take (kHeldMax).
class WriteBarrier {
 public:
  // The writes wait while it exists. Its end waits for the helper to have let go of the mount, which
  // could not be unmounted otherwise.
  class Stopped {
   public:
    Stopped(WriteBarrier& owner, int64_t workspace) : owner_(owner), workspace_(workspace) {}
    ~Stopped() { owner_.Release(*this); }
    Stopped(const Stopped&) = delete;
    Stopped& operator=(const Stopped&) = delete;

    // Why some writes go on, in words for the workspace's user; empty: they all wait.
    const std::string& gap() const noexcept { return gap_; }
    // The gap is of writes that began a moment ago: another stop may well find them ended.
    bool is_gap_passing() const noexcept { return is_gap_passing_; }
    // Whether writes to that file wait, by a call of their own.
    bool Holds(NodeId node) const;

   private:
    friend class WriteBarrier;
    WriteBarrier& owner_;
    const int64_t workspace_;
    std::string gap_;
    bool is_gap_passing_ = false;
    size_t files_ = 0;
    size_t reserved_small_ = 0;  // of WriteBarrier::small_room_
    size_t reserved_ = 0;        // of WriteBarrier::room_

    // Guarded by the owner's mutex.
    bool is_ending_ = false;
    std::vector<NodeHandle> waiting_;  // for a place in the workspace's share
    std::vector<NodeId> called_;       // of which there is a call, perhaps that of an earlier stop
    size_t out_ = 0;                   // of those: not reported yet
    int error_ = 0;                    // of a call that failed
    bool helper_is_gone_ = false;
    std::condition_variable changed_;
  };

  // Tells whether a change of that file waits at the freeze lock.
  using GateLook = std::function<bool(NodeId)>;

  // Of one workspace; the rest is not stopped.
  static constexpr size_t kFilesMax = 256;
  // In all stops that last: a request of each file stays unanswered, and the kernel has room for so many
  // (fuse_mount.cc). The first kSmall files of each stop are counted apart, so that what has few files open
  // does not depend on what others have; of the room for the others none takes more than half.
  static constexpr size_t kSmall = 16;
  static constexpr size_t kHeldSmallMax = 24 * kSmall;
  static constexpr size_t kHeldMax = 3 * kFilesMax;

  // `calls` outlives it.
  explicit WriteBarrier(BarrierCalls& calls);
  ~WriteBarrier();
  WriteBarrier(const WriteBarrier&) = delete;
  WriteBarrier& operator=(const WriteBarrier&) = delete;

  // Stops writes to `files`, of which each is open for writing: the first, if they are too many. Null if
  // there are none.
  std::unique_ptr<Stopped> Stop(int64_t workspace, std::vector<NodeHandle> files,
                                const GateLook& waits_at_gate);

  // Whether a setxattr is one of the helper's; it is then answered by `answer`, at once or, while
  // a stop of that file lasts, at the end of that, by another thread.
  bool Park(NodeId node, std::string_view xattr_name, const std::function<void()>& answer);

 private:
  using Clock = std::chrono::steady_clock;

  // One that the helper makes.
  struct Call {
    enum class State {
      kOut,       // it waits for the file's lock, as far as anybody knows
      kHolding,   // it has the lock, and the daemon has not answered
      kAnswered,  // and is about to be reported
    };
    int64_t workspace = 0;
    Clock::time_point since;
    State state = State::kOut;
    Stopped* stop = nullptr;       // that waits for it; null: none
    std::function<void()> answer;  // kHolding
  };

  // Files to which writes are not stopped yet.
  struct Missing {
    size_t fresh = 0;    // their calls may come through any moment
    size_t stuck = 0;    // their calls wait since before this stop
    size_t waiting = 0;  // they have no call

    // To wait longer changes nothing. (Beside stuck calls nobody waits for room in the share.)
    bool IsFinal() const noexcept { return fresh == 0 && (waiting == 0 || stuck != 0); }
  };

  // With the lock.
  void Reserve(Stopped& stopped, std::vector<NodeHandle>& files, Clock::time_point deadline,
               std::unique_lock<std::mutex>& lock);
  void HandOver(Stopped& stopped, const GateLook& waits_at_gate);
  static bool Adopt(Stopped& stopped, NodeId node, Call& call);
  static void Detach(Stopped& stopped, Call& call);
  Missing Look(const Stopped& stopped, const GateLook& waits_at_gate) const;
  static void NoteGap(Stopped& stopped, const Missing& missing);
  void Forget(const Call& call, int error);

  void Release(Stopped& stopped);
  void ReadReports();
  void Reported(const BarrierCalls::Report& report);
  void HelperIsGone();

  BarrierCalls& helper_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable room_grew_;
  size_t small_room_ = kHeldSmallMax;
  size_t room_ = kHeldMax;
  BarrierShares shares_;                    // of calls that are kOut
  std::unordered_map<NodeId, Call> calls_;  // that have not been reported
  std::jthread reader_;                     // last: uses what is above
};

}  // namespace ckptfs
