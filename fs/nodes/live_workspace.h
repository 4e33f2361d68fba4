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

#include "backend/base/mutex.h"
#include "backend/interface/backend.h"
#include "catalog/store/store.h"
#include "fs/nodes/freeze_lock.h"
#include "fs/nodes/known_directories.h"
#include "fs/nodes/views.h"

namespace ckptfs {

// What a live tree consists of between two rollbacks.
struct Live {
  std::shared_ptr<Volume> volume;  // null: the data is missing
  std::shared_ptr<View> files;     // the slot of everything except directories; null likewise
};

// One workspace as the kernel sees it. When the volume under it is switched, directories keep their node ids
// and files get new ones (DESIGN: how an in-place rollback keeps directories). Thread-safe, but `Switch` and
// `RenewRoot` require a closed freeze lock.
class LiveWorkspace : public std::enable_shared_from_this<LiveWorkspace> {
 public:
  LiveWorkspace(int64_t id, uint64_t number, SlotTable& slots);

  int64_t id() const noexcept { return id_; }
  // The high part of st_ino in the live tree.
  uint64_t number() const noexcept { return number_; }
  FreezeLock& freeze_lock() noexcept { return freeze_lock_; }
  KnownDirectories& directories() noexcept { return directories_; }

  // The matching volume and slot. A request takes them once and uses both.
  std::shared_ptr<const Live> live() const;

  // Serves `volume` (null: nothing, EIO) from now on. Files of the previous volume keep their nodes;
  // `old_number` becomes the view number in their st_ino (0: unchanged). Their slot is freed when the kernel
  // knows none of them; with `keep_slot`, not before Unpin.
  void Switch(std::shared_ptr<Volume> volume, uint64_t old_number, bool keep_slot = false);

  // The node of the workspace's root directory.
  NodeId root_node() const;
  // The same, counting the lookup that the reply gives the kernel. Throws ESTALE if the workspace has been
  // removed.
  NodeHandle AcquireRoot() const;
  // Gives the root a new node id, after the kernel has declared the old one dead.
  void RenewRoot();

  // Whether the directories of the present state and those of the snapshot may have been made in parallel, in
  // two workspaces. If so, `BeginLine` must be called before and after a switch to a copy of the snapshot,
  // with the id of the workspace's newest snapshot of any kind (0: none). The call before keeps directories
  // of the present state from being taken for directories of the snapshot. The call after does the same for
  // those that became known in between.
  bool IsForeign(const SnapshotRecord& snapshot) const;
  void BeginLine(int64_t newest_snapshot);

  // The kernel may cache names in the live tree only while this returns true (SettlingNames).
  bool KeepsNames() const noexcept { return name_stops_ == 0; }
  // While one exists, KeepsNames is false. Holds no lock; several may exist.
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
  // While one exists, walks into the live tree wait at the request for a directory's attributes
  // (SettlingNames). `count`: how many exist in the mount.
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
  // For a request of `thread`: waits until no WalkStop exists, then returns true. Returns false after a while
  // if the wait might never end: the thread may hold a directory lock that the settling thread is waiting
  // for. The request is then sent back, and comes again. Also returns when the thread has been killed.
  enum class Holds { kNothing, kPerhaps, kPerhapsAgain };  // the last: also when it comes again
  bool AwaitWalks(pid_t thread, Holds holds);
  // Held by the thread that settles names.
  Mutex& settling() noexcept { return settling_; }
  // Made by that thread: while it exists, the thread may be waiting for a directory's lock.
  class LockWait {
   public:
    explicit LockWait(LiveWorkspace& workspace);
    ~LockWait() { workspace_.lock_wait_began_ns_ = 0; }
    LockWait(const LockWait&) = delete;
    LockWait& operator=(const LockWait&) = delete;

   private:
    LiveWorkspace& workspace_;
  };

  // A rename has given something that name. Remembered, up to a limit, while the kernel caches no names.
  void NoteMovedName(NodeId directory, const char* name);
  std::vector<std::pair<NodeId, std::string>> TakeMovedNames();

  // Node ids for a directory of the live tree, as KnownDirectories::Acquire.
  NodeHandle AcquireDirectory(FileId file);

  // Gives up all slots: the workspace has been removed.
  void Retire();
  bool retired() const noexcept { return retired_; }

  // The node of `.live` in a list. A rename onto it makes the node dead for the kernel; a new one replaces
  // it.
  NodeId live_node(SnapDir place) const;
  void RenewLiveNodes() noexcept { ++live_turn_; }

 private:
  const int64_t id_;
  const uint64_t number_;
  SlotTable& slots_;
  FreezeLock freeze_lock_;
  KnownDirectories directories_;
  std::atomic<uint64_t> live_turn_{0};  // counts renames onto `.live`
  std::atomic<bool> retired_{false};
  std::atomic<int> name_stops_{0};
  std::atomic<int> walk_stops_{0};
  Mutex settling_;
  std::atomic<int64_t> lock_wait_began_ns_{0};  // monotonic clock; 0: no wait
  std::condition_variable walks_go_on_;
  // The id of the newest snapshot when a state of another workspace last replaced this one's, or was itself
  // replaced by an older one. Snapshots up to that id may be of either line of states.
  std::atomic<int64_t> line_began_after_{0};

  mutable Mutex mutex_;  // held for a few instructions
  std::shared_ptr<const Live> live_ GUARDED_BY(mutex_);
  Slot root_slot_ GUARDED_BY(mutex_) = 0;  // the slot of the root's node
  // The slot for directories that are new to the kernel; perhaps the same.
  Slot directories_slot_ GUARDED_BY(mutex_) = 0;
  std::vector<std::pair<NodeId, std::string>> moved_names_ GUARDED_BY(mutex_);
  std::set<pid_t> sent_back_ GUARDED_BY(mutex_);  // sent back by AwaitWalks, and not seen since
};

// Workspaces by id, made at first use. Thread-safe.
class LiveWorkspaces {
 public:
  LiveWorkspaces(Store& store, SlotTable& slots) : store_(store), slots_(slots) {}
  ~LiveWorkspaces();
  LiveWorkspaces(const LiveWorkspaces&) = delete;
  LiveWorkspaces& operator=(const LiveWorkspaces&) = delete;

  // A workspace whose volume cannot be opened is still served, with EIO for everything in it. Throws Error
  // ENOENT if there is no such workspace.
  std::shared_ptr<LiveWorkspace> Get(int64_t workspace_id);
  // For a workspace whose row the store has deleted.
  void Remove(int64_t workspace_id);
  // The workspace that is served from that volume; null if none is.
  std::shared_ptr<LiveWorkspace> WithVolume(const VolumeId& id);

 private:
  std::shared_ptr<LiveWorkspace> Known(int64_t workspace_id) const;

  Store& store_;
  SlotTable& slots_;
  // Lock order: before `mutex_`. Held while a volume is opened, which can take seconds; workspaces that are
  // already open stay available meanwhile. A removed workspace is not opened again.
  Mutex opening_;
  mutable Mutex mutex_;
  std::unordered_map<int64_t, std::shared_ptr<LiveWorkspace>> by_id_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
