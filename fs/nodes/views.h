// What the slots in node ids stand for.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/recently_used.h"
#include "backend/interface/backend.h"
#include "catalog/db/records.h"
#include "fs/nodes/kernel_cache.h"
#include "fs/nodes/node_id.h"

namespace ckptfs {

class LiveWorkspace;

// A snapshot appears in two places. The kernel does not allow one directory in two places, so each place has
// its own view and node ids.
enum class SnapDir : uint8_t { kRoot, kInner };  // .snapshots/W/S and W/.snapshots/S
inline constexpr std::array kSnapDirs = {SnapDir::kRoot, SnapDir::kInner};

// The list of a workspace's snapshots in that place.
inline NodeId ListNode(int64_t workspace_id, SnapDir place) {
  return MakeVirtualNode(place == SnapDir::kRoot ? VirtualKind::kRootList : VirtualKind::kInnerList,
                         static_cast<uint64_t>(workspace_id));
}

// A workspace's lists of snapshots have changed: drops what the kernel caches about them, which is their times
// (they change with the snapshots) and their permissions (with the workspace's root). Request handlers may
// call it.
inline void ListsChanged(KernelCache& kernel, int64_t workspace_id) {
  for (const SnapDir place : kSnapDirs) kernel.InvalidateAttributes(ListNode(workspace_id, place));
}

// One slot: one view of one volume.
struct View {
  enum class Kind : uint8_t {
    kLiveDirectories,  // directories of a workspace, whichever volume it has
    kLiveFiles,        // everything else of a workspace while it has, or had, `volume`
    kSnapshot,         // everything of a snapshot
  };

  Kind kind = Kind::kSnapshot;
  Slot slot = 0;
  // Distinguishes, in file handles, the nodes of this view from those of other views with this slot. If a
  // kept slot (SlotTable) gets a new view, that has the same generation.
  uint32_t generation = 0;
  std::shared_ptr<LiveWorkspace> workspace;  // kLiveDirectories, kLiveFiles
  std::shared_ptr<Volume> volume;            // kLiveFiles
  VolumeId volume_id;                        // kSnapshot; opened at first use
  int64_t snapshot_id = 0;                   // kSnapshot
  SnapDir place = SnapDir::kRoot;            // kSnapshot
  RootAttributes root;                       // kSnapshot: of its root, constant
  // The high part of st_ino. For kLiveFiles it changes once, when a rollback hands the volume to a snapshot
  // (SlotTable::Renumber).
  std::atomic<uint64_t> number{0};

  // For kLiveFiles: a rollback has dropped `volume` because its state equalled a snapshot's. In that
  // snapshot's volume each file has the same inode number, and later opens for reading use it. Set only by
  // the thread of the rollback, and not while anybody can write to `volume`.
  void SetTwin(const VolumeId& twin) {
    if (has_twin_) return;
    twin_ = twin;
    has_twin_ = true;
  }
  const VolumeId* twin() const noexcept { return has_twin_ ? &twin_ : nullptr; }

 private:
  friend class SlotTable;
  VolumeId twin_;
  std::atomic<bool> has_twin_{false};
  std::atomic<uint64_t> lookups_{0};  // kernel's lookups on nodes of this slot
  bool pinned_ = false;               // in use even if the kernel knows no node of it
  uint64_t former_number_ = 0;        // that the kernel may show until it asks again; 0: none
};

// Allocates slots, and frees them when their nodes can no longer be named. A slot is not reused while the
// kernel knows one of its nodes. Thread-safe.
//
// File handles name nodes that the kernel has forgotten. Handles of a snapshot must stay valid as long as the
// snapshot exists: so a snapshot's slot is kept for it, without a view (72 bytes), after the kernel has
// forgotten the last of its nodes. The slots of live trees are pinned as long as they matter.
class SlotTable {
 public:
  SlotTable();

  // Sets what is called when the view of a live tree has ended, before its slot is reused. Called without a
  // lock.
  void OnEnd(std::function<void(Slot)> end);

  // A pinned slot for a live tree. Throws Error ENFILE when all 2^24 are in use.
  Slot AddLiveDirectories(std::shared_ptr<LiveWorkspace> workspace, uint64_t number);
  std::shared_ptr<View> AddLiveFiles(std::shared_ptr<LiveWorkspace> workspace,
                                     std::shared_ptr<Volume> volume, uint64_t number);
  void Unpin(Slot slot);

  // The slot of a snapshot in one place, with one lookup counted for its root.
  std::shared_ptr<View> AcquireSnapshot(const SnapshotRecord& snapshot, SnapDir place);
  // The next AcquireSnapshot there returns a new slot, and the old one is no longer kept. Used when the
  // kernel has moved the snapshot's directory in its dcache (a rename that was a rollback), or after the
  // snapshot has been deleted.
  void RenewSnapshot(int64_t snapshot_id, SnapDir place);
  // The snapshot that a slot is used or kept for.
  struct SnapshotLocation {
    int64_t snapshot_id = 0;
    SnapDir place = SnapDir::kRoot;
  };
  std::optional<SnapshotLocation> SnapshotOf(Slot slot) const;

  // The root node of a snapshot in one place if the kernel knows a node of it there; else 0.
  NodeId RootOf(int64_t snapshot_id, SnapDir place) const;

  // Null if the slot is not in use.
  std::shared_ptr<View> Find(Slot slot) const;

  // Counts the lookup that a reply gives the kernel, and returns the view's generation. Throws ESTALE if the
  // slot is gone, which happens only to a lookup that races against the removal of its workspace.
  uint32_t Count(Slot slot);
  // The same for a caller whose view may be neither pinned nor looked up any more: a rollback releases the
  // files of the previous state while lookups of them are in flight. Throws ESTALE, on which the kernel looks
  // up again, if the slot is gone or belongs to another view.
  void Count(const View& view);
  bool TryCount(const View& view);
  void Forget(Slot slot, uint64_t lookups);

  void Renumber(View& view, uint64_t number);
  // Whether some slot in use has, or had, that number. If not, no program has a file open or a working
  // directory that shows it.
  bool HasNumber(uint64_t number) const;

  size_t size() const;

 private:
  // A snapshot and its place in one nonzero number.
  using SnapshotKey = uint64_t;
  static SnapshotKey KeyOf(int64_t snapshot_id, SnapDir place) {
    return static_cast<uint64_t>(snapshot_id) << 1 | (place == SnapDir::kInner ? 1 : 0);
  }
  struct Seat {
    std::shared_ptr<View> view;
    SnapshotKey snapshot = 0;  // that it is used or kept for; 0: none
    uint32_t generation = 0;
  };

  std::shared_ptr<View> AddLocked(std::shared_ptr<View> view) REQUIRES(mutex_);
  void SeatLocked(const std::shared_ptr<View>& view) REQUIRES(mutex_);
  void RemoveLocked(const View& view) REQUIRES(mutex_);
  void End(const View& view);
  void FreeLocked(Slot slot) REQUIRES(mutex_);

  mutable SharedMutex mutex_;
  std::vector<Seat> seats_ GUARDED_BY(mutex_){1};  // by slot; slot 0 is unused
  std::vector<Slot> free_ GUARDED_BY(mutex_);
  size_t in_use_ GUARDED_BY(mutex_) = 0;
  uint32_t last_generation_ GUARDED_BY(mutex_);  // before scattering
  std::unordered_map<SnapshotKey, Slot> snapshots_ GUARDED_BY(mutex_);
  std::unordered_multiset<uint64_t> numbers_ GUARDED_BY(mutex_);
  std::function<void(Slot)> end_ GUARDED_BY(mutex_);
};

// Volumes of snapshots in use. At most BackendCapabilities::open_volumes_max are kept open, and none for long
// after its last use; a user of a volume keeps it alive. Thread-safe.
class VolumeCache {
 public:
  explicit VolumeCache(const Backend& backend)
      : backend_(backend), kept_(backend.capabilities().open_volumes_max) {}

  // Throws what Backend::Open throws (ENOENT: the volume is gone).
  std::shared_ptr<Volume> Open(const VolumeId& id);
  // The volume in which files of that view (kLiveFiles) are now.
  std::shared_ptr<Volume> OfFiles(const View& view);
  // Releases a volume that is to be destroyed.
  void Drop(const VolumeId& id) { kept_.Remove(id); }
  // Releases volumes that have been idle for a while. Returns whether any is left.
  bool DropIdle();

 private:
  const Backend& backend_;
  RecentlyUsed<VolumeId, std::shared_ptr<Volume>> kept_;
};

}  // namespace ckptfs
