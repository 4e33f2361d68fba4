// The workspaces that are being served.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backend/interface/backend.h"
#include "catalog/store/store.h"
#include "fs/nodes/freeze_lock.h"
#include "fs/nodes/known_directories.h"
#include "fs/nodes/views.h"

namespace ckptfs {

// What a live tree consists of between two rollbacks.
struct Live {
  std::shared_ptr<Volume> volume;  // null: the data is missing
  std::shared_ptr<View> files;     // the slot of everything that is no directory; null likewise
};

// One workspace as the kernel sees it. Its directories keep their node ids when the volume under
// them is switched, its files get new ones (DESIGN: how an in-place rollback keeps directories).
// Any thread may call anything; `Switch` and `RenewRoot` only while the freeze lock is closed.
class LiveWorkspace : public std::enable_shared_from_this<LiveWorkspace> {
 public:
  LiveWorkspace(int64_t id, uint64_t number, SlotTable& slots);

  int64_t id() const noexcept { return id_; }
  // The high part of st_ino in the live tree.
  uint64_t number() const noexcept { return number_; }
  FreezeLock& freeze_lock() noexcept { return freeze_lock_; }
  KnownDirectories& directories() noexcept { return directories_; }

  // The volume and the slot that belong together. A request takes them once and uses both.
  std::shared_ptr<const Live> live() const;

  // Serves `volume` (null: nothing, EIO) from now on. Files of the volume before keep their nodes;
  // `old_number` is the view that their st_ino tells from then on (0: as it was). Their slot is
  // given back when the kernel knows none of them, or, with `keep_slot`, not before Unpin.
  void Switch(std::shared_ptr<Volume> volume, uint64_t old_number, bool keep_slot = false);

  // The node of the workspace's root directory.
  NodeId root_node() const;
  // The same, counting one lookup that a reply gives the kernel. Throws ESTALE if the workspace has
  // been removed.
  NodeHandle AcquireRoot() const;
  // Gives the root a new node id, for when the kernel has declared the old one dead.
  void RenewRoot();

  // Whether the directories of the present state and those of the snapshot may have been made side by
  // side, in two workspaces. Then `BeginLine`, with the id of the workspace's newest snapshot of any kind (0: it
  // has none), is to be called before a switch to a copy of it, so that no directory of the former is taken
  // for one of the latter, and after it, as those that have become known in between were still of the
  // former.
  bool IsForeign(const SnapshotRecord& snapshot) const;
  void BeginLine(int64_t newest_snapshot);

  // What the kernel is told of a name in the live tree it may keep only while this says so
  // (SettlingNames).
  bool KeepsNames() const noexcept { return name_stops_ == 0; }
  // Meanwhile it may not. Holds no lock; several may exist.
  class NameStop {
   public:
    explicit NameStop(LiveWorkspace& workspace) : workspace_(workspace) {
      ++workspace_.name_stops_;
    }
    ~NameStop() { --workspace_.name_stops_; }
    NameStop(const NameStop&) = delete;
    NameStop& operator=(const NameStop&) = delete;

   private:
    LiveWorkspace& workspace_;
  };
  // While one exists walks into the live tree wait, where they ask for the attributes of a directory
  // (SettlingNames). `count`: how many there are in the mount.
  class WalkStop {
   public:
    WalkStop(LiveWorkspace& workspace, std::atomic<int>& count);
    ~WalkStop();
    WalkStop(const WalkStop&) = delete;
    WalkStop& operator=(const WalkStop&) = delete;

   private:
    LiveWorkspace& workspace_;
    std::atomic<int>& count_;
  };
  bool StopsWalks() const noexcept { return walk_stops_ != 0; }
  // For a request of `thread`: returns when there is none any more; or false, after a while, where that may
  // never be, as the thread may hold the lock of a directory for which whoever settles the names is
  // waiting. It is sent back then, and comes again. Or the thread has been killed.
  enum class Holds { kNothing, kPerhaps, kPerhapsAgain };  // the last: also when it comes again
  bool AwaitWalks(pid_t thread, Holds holds);
  // Held by the thread that settles names.
  std::mutex& settling() noexcept { return settling_; }
  // By that thread: while it exists, it may be waiting for the lock of a directory.
  class LockWait {
   public:
    explicit LockWait(LiveWorkspace& workspace);
    ~LockWait() { workspace_.lock_wait_began_ns_ = 0; }
    LockWait(const LockWait&) = delete;
    LockWait& operator=(const LockWait&) = delete;

   private:
    LiveWorkspace& workspace_;
  };

  // A rename has given something that name. Remembered while the kernel keeps none, up to a limit.
  void NoteMovedName(NodeId directory, const char* name);
  std::vector<std::pair<NodeId, std::string>> TakeMovedNames();

  // Ids for a directory of the live tree, as KnownDirectories::Acquire.
  NodeHandle AcquireDirectory(FileId file);

  // Gives up all slots: the workspace has been removed.
  void Retire();
  bool retired() const noexcept { return retired_; }

  // The node of `.live` in a list. A rename onto it leaves it dead for the kernel: there is another then.
  NodeId live_node(SnapDir place) const;
  void RenewLiveNodes() noexcept { ++live_turn_; }

 private:
  const int64_t id_;
  const uint64_t number_;
  SlotTable& slots_;
  FreezeLock freeze_lock_;
  KnownDirectories directories_;
  std::atomic<uint64_t> live_turn_{0};  // counts the renames onto `.live`
  std::atomic<bool> retired_{false};
  std::atomic<int> name_stops_{0};
  std::atomic<int> walk_stops_{0};
  std::mutex settling_;
  std::atomic<int64_t> lock_wait_began_ns_{0};  // of the monotonic clock; 0: no wait
  std::condition_variable walks_go_on_;
  // The newest snapshot's id when a state of another workspace last took this one's place, or was itself
  // replaced by an older one. Snapshots up to that one may be of either line of states.
  std::atomic<int64_t> line_began_after_{0};

  mutable std::mutex mutex_;  // guards what follows, for a few instructions
  std::shared_ptr<const Live> live_;
  Slot root_slot_ = 0;         // of the root's node
  Slot directories_slot_ = 0;  // that directories new to the kernel get; perhaps the same
  std::vector<std::pair<NodeId, std::string>> moved_names_;
  std::set<pid_t> sent_back_;  // by AwaitWalks, and not seen since
};

// Workspaces by id, made when first looked at. Any thread may call anything.
class LiveWorkspaces {
 public:
  LiveWorkspaces(Store& store, SlotTable& slots) : store_(store), slots_(slots) {}
  ~LiveWorkspaces();
  LiveWorkspaces(const LiveWorkspaces&) = delete;
  LiveWorkspaces& operator=(const LiveWorkspaces&) = delete;

  // A workspace whose volume cannot be opened is served all the same, with EIO for all in it. Throws Error
  // ENOENT if there is none.
  std::shared_ptr<LiveWorkspace> Get(int64_t workspace_id);
  // For one that the store has no row of any more.
  void Remove(int64_t workspace_id);
  // The one that is served from that volume; null if none is.
  std::shared_ptr<LiveWorkspace> WithVolume(const VolumeId& id);

 private:
  std::shared_ptr<LiveWorkspace> Known(int64_t workspace_id) const;

  Store& store_;
  SlotTable& slots_;
  // Taken before `mutex_`. Held while a volume is opened, which can take seconds: those that are open
  // already can be had meanwhile. One that is removed is not opened again.
  std::mutex opening_;
  mutable std::mutex mutex_;
  std::unordered_map<int64_t, std::shared_ptr<LiveWorkspace>> by_id_;
};

}  // namespace ckptfs
