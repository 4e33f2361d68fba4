// What the slots in node ids stand for.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "backend/interface/backend.h"
#include "catalog/db/records.h"
#include "fs/nodes/nameless_files.h"
#include "fs/nodes/node_id.h"

namespace ckptfs {

class LiveWorkspace;

// A snapshot can be seen in two places. A directory must not be in two places for the kernel, so
// each has a view, and node ids, of its own.
enum class SnapDir : uint8_t { kRoot, kInner };  // .snapshots/W/S and W/.snapshots/S
inline constexpr std::array kSnapDirs = {SnapDir::kRoot, SnapDir::kInner};

// The list of a workspace's snapshots in that place.
inline NodeId ListNode(int64_t workspace_id, SnapDir place) {
  return MakeVirtualNode(place == SnapDir::kRoot ? VirtualKind::kRootList : VirtualKind::kInnerList,
                         static_cast<uint64_t>(workspace_id));
}

// One slot: one view of one volume.
struct View {
  enum class Kind : uint8_t {
    kLiveDirectories,  // directories of a workspace, whichever volume it has at the moment
    kLiveFiles,        // all else of a workspace while it has, or had, `volume`
    kSnapshot,         // everything of a snapshot
  };

  Kind kind = Kind::kSnapshot;
  Slot slot = 0;
  // Tells the nodes of this view from those that others have with this slot, in file handles. A view that a
  // kept slot (SlotTable) gets anew has the same.
  uint32_t generation = 0;
  std::shared_ptr<LiveWorkspace> workspace;  // kLiveDirectories, kLiveFiles
  std::shared_ptr<Volume> volume;            // kLiveFiles
  VolumeId volume_id;                        // kSnapshot; opened when first looked into
  int64_t snapshot_id = 0;                   // kSnapshot
  SnapDir place = SnapDir::kRoot;            // kSnapshot
  RootAttributes root;                       // kSnapshot: of its root, for ever
  // The high part of st_ino. Of kLiveFiles it changes once, when a rollback leaves its volume to a
  // snapshot (SlotTable::Renumber).
  std::atomic<uint64_t> number{0};
  NamelessFiles nameless;

  // Of kLiveFiles: a rollback has dropped `volume`, as its state was that of a snapshot, in whose volume
  // each file has the same inode number. Who is about to open one for reading finds it there. Only by
  // the thread of the rollback; not as long as anybody can write to `volume`.
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
  std::atomic<uint64_t> lookups_{0};  // that the kernel holds on nodes of this slot
  bool pinned_ = false;               // in use although the kernel may know no node of it
  uint64_t former_number_ = 0;        // that the kernel may show until it asks again; 0: none
};

// Gives out slots and takes them back when nobody can name a node of theirs any more. A slot is not
// used for anything else while the kernel knows one of its nodes. Any thread may call anything.
//
// File handles name nodes that the kernel has forgotten. Those of a snapshot are to stay good as long as
// the snapshot is there: its slot, once it has one, is kept for it, without a view (72 bytes), when the
// kernel has forgotten the last of its nodes. The slots of live trees are pinned as long as they matter.
class SlotTable {
 public:
  SlotTable();

  // A pinned slot for a live tree. Throws Error ENFILE when all 2^24 are in use.
  Slot AddLiveDirectories(std::shared_ptr<LiveWorkspace> workspace, uint64_t number);
  std::shared_ptr<View> AddLiveFiles(std::shared_ptr<LiveWorkspace> workspace,
                                     std::shared_ptr<Volume> volume, uint64_t number);
  void Unpin(Slot slot);

  // The slot of a snapshot in one place, with one lookup counted for its root.
  std::shared_ptr<View> AcquireSnapshot(const SnapshotRecord& snapshot, SnapDir place);
  // The next AcquireSnapshot there gives a new slot, and the old one is kept no longer. For when the kernel
  // has moved the snapshot's directory elsewhere in its own books (a rename that rolled back), or the
  // snapshot has been deleted.
  void RenewSnapshot(int64_t snapshot_id, SnapDir place);
  // For which snapshot that slot is, or is kept.
  struct SnapshotLocation {
    int64_t snapshot_id = 0;
    SnapDir place = SnapDir::kRoot;
  };
  std::optional<SnapshotLocation> SnapshotOf(Slot slot) const;

  // The root of a snapshot in one place, if the kernel knows a node of it there; else 0.
  NodeId RootOf(int64_t snapshot_id, SnapDir place) const;

  // Null if the slot is not in use.
  std::shared_ptr<View> Find(Slot slot) const;

  // Counts one lookup that a reply gives the kernel, and returns the view's generation. Throws ESTALE if
  // the slot has gone, which only a lookup that races against the removal of its workspace can meet.
  uint32_t Count(Slot slot);
  // The same for who holds a view that nobody may have pinned or looked up any more: a rollback
  // lets go of the files of the state before while they are still being looked up. ESTALE, on which
  // the kernel looks again, if the slot has gone or is another view's.
  void Count(const View& view);
  void Forget(Slot slot, uint64_t lookups);

  void Renumber(View& view, uint64_t number);
  // Whether some slot that is in use has, or had, that number: if not, nobody has anything open or stands
  // in anything that shows it.
  bool HasNumber(uint64_t number) const;

  size_t size() const;

 private:
  // A snapshot and its place in one number that is not 0.
  using SnapshotKey = uint64_t;
  static SnapshotKey KeyOf(int64_t snapshot_id, SnapDir place) {
    return static_cast<uint64_t>(snapshot_id) << 1 | (place == SnapDir::kInner ? 1 : 0);
  }
  struct Seat {
    std::shared_ptr<View> view;
    SnapshotKey snapshot = 0;  // for which it is, or is kept; 0: for none
    uint32_t generation = 0;
  };

  std::shared_ptr<View> AddLocked(std::shared_ptr<View> view);
  void SeatLocked(const std::shared_ptr<View>& view);
  void RemoveLocked(const View& view);
  void FreeLocked(Slot slot);

  mutable std::shared_mutex mutex_;
  std::vector<Seat> seats_{1};  // by slot; 0 is no view's
  std::vector<Slot> free_;
  size_t in_use_ = 0;
  uint32_t last_generation_;  // before it is scattered
  std::unordered_map<SnapshotKey, Slot> snapshots_;
  std::unordered_multiset<uint64_t> numbers_;
};

// Volumes of snapshots that are being looked into. No more are kept open than the backend likes
// (BackendCapabilities::open_volumes_max), and none for long after its last use; whoever still uses one
// keeps it. Any thread may call anything.
class VolumeCache {
 public:
  explicit VolumeCache(const Backend& backend)
      : backend_(backend), capacity_(backend.capabilities().open_volumes_max) {}

  // Throws what Backend::Open throws (ENOENT: the volume is gone).
  std::shared_ptr<Volume> Open(const VolumeId& id);
  // Lets go of a volume that is to be destroyed.
  void Drop(const VolumeId& id);
  // Lets go of those that were not used for a while. Returns whether any is left.
  bool DropIdle();

 private:
  struct Entry {
    std::shared_ptr<Volume> volume;
    std::chrono::steady_clock::time_point used_at;
  };
  using Order = std::list<Entry>;  // most recently used first

  const Backend& backend_;
  const size_t capacity_;
  std::mutex mutex_;
  Order order_;
  std::unordered_map<VolumeId, Order::iterator> by_id_;
};

}  // namespace ckptfs
