// The directories of a live tree that the kernel knows.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/interface/backend.h"
#include "fs/nodes/node_id.h"
#include "fs/nodes/views.h"

namespace ckptfs {

// A rollback in place must keep every directory that still exists: a process that stands in one
// goes on there. So directories, unlike files, keep their node id when the workspace is switched to
// another volume, and a node id must go on meaning the same directory: the one with this inode
// number *and generation*, since another volume may use the number for another directory. This
// table remembers the generation for as long as the kernel knows the node (56 bytes a directory).
//
// Two workspaces may give one inode number and generation to two directories that they make within
// one transaction. So what is known says nothing once a state of another workspace has been put in
// the place of this one's (`Disown`).
//
// A directory that was removed is dead for the kernel: whoever holds it still, as its working directory
// say, can list nothing and make nothing in it, and so could nobody else if a rollback brought it back
// under its old id. So it gets another (`Remove`).
//
// Its handles are to last as long as it is the same directory, also when the kernel has forgotten it: the
// generation that the kernel is told is made of the directory's own, of its slot's, as slots are handed out
// anew at each mount, and of how often all was disowned.
//
// A directory that is first seen when its natural node id (current slot, inode number) is still
// taken by an older directory of another generation gets an id in a new slot.
//
// Any thread may call anything.
class KnownDirectories {
 public:
  explicit KnownDirectories(SlotTable& slots) : slots_(slots) {}

  // The node id by which the kernel is to know directory `file`, counting one lookup that a reply
  // gives it, here and in its slot. `current_slot` tells the slot for new ids, which must be
  // pinned; `new_slot` makes another one if that id is taken. Both are called with the table's lock
  // held. Counting both under one lock keeps a forget that comes meanwhile from freeing the
  // slot in between.
  NodeHandle Acquire(FileId file, const std::function<Slot()>& current_slot,
                     const std::function<Slot()>& new_slot);
  // The same for a directory of which somebody has a handle with a slot: that of `view`. Throws Error ESTALE
  // if the directory has got another id since.
  NodeHandle AcquireAgain(FileId file, const View& view);

  // The generation behind a node id; 0 (any) if it is not known. Throws Error ESTALE if it was
  // disowned.
  uint32_t GenerationOf(NodeId node);

  // From now on no directory is one of those that are known: their node ids are stale, and stay
  // taken until the kernel forgets them.
  void Disown();

  // That directory has lost its name by rmdir(2) or by a rename over it. Said before the kernel hears of it.
  void Remove(NodeId node);

  // Takes back `lookups` lookups; the caller takes them back from the slot afterwards.
  void Forget(NodeId node, uint64_t lookups);

  // A listing of the directory, with attributes, is about to be made. `TakeListed` gives all of which
  // that was said since it was last called, and that the kernel still knows.
  void NoteListing(NodeId node);
  std::vector<NodeId> TakeListed();

  // Whether the kernel knows a directory of that inode number, whatever its generation.
  bool Contains(uint64_t inode) const;
  std::vector<NodeId> All() const;
  size_t size() const;

 private:
  struct Known {
    Slot slot = 0;
    uint32_t generation = 0;
    uint64_t lookups = 0;
    uint32_t line = 0;
    bool listed = false;
    bool removed = false;
  };

  using Table = std::unordered_multimap<uint64_t, Known>;

  Table::iterator Find(NodeId node) REQUIRES(mutex_);
  // That directory if it is known, counting one lookup; else empty. `taken`: whether another has its number
  // in that slot.
  std::optional<NodeHandle> FindAgain(FileId file, Slot slot, bool& taken) REQUIRES(mutex_);
  NodeHandle Add(FileId file, Slot slot, uint32_t slot_generation) REQUIRES(mutex_);
  static NodeHandle HandleOf(uint64_t inode, const Known& known, uint32_t slot_generation);

  SlotTable& slots_;
  mutable Mutex mutex_;
  Table by_inode_ GUARDED_BY(mutex_);
  uint32_t line_ GUARDED_BY(mutex_) = 0;  // counts the calls of Disown
};

}  // namespace ckptfs
