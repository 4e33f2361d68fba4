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

// A rollback in place must keep every directory that still exists: a process whose working directory it is
// goes on there. So directories, unlike files, keep their node id when the workspace is switched to another
// volume, and a node id must keep meaning the same directory: the one with this inode number *and
// generation*, since another volume may use the number for another directory. This table stores the
// generation for as long as the kernel knows the node (56 bytes per directory).
//
// Two workspaces may give the same inode number and generation to two directories created in one transaction.
// So the table's entries are invalid once a state of another workspace has replaced this one's (`Disown`).
//
// A removed directory is dead for the kernel: a process that still holds it, e.g. as its working directory,
// can list nothing and create nothing in it. The same would hold for everybody if a rollback restored it
// under its old id. So it gets a new id (`Remove`).
//
// A file handle of a directory stays valid as long as it is the same directory, even after the kernel has
// forgotten it. So the generation that the kernel is told combines the directory's own, its slot's (slots are
// assigned anew at each mount), and the number of Disown calls.
//
// The natural node id of a directory is (current slot, inode number). If an older directory of another
// generation still has that id when a directory is first seen, the new one gets an id in a new slot.
//
// Thread-safe.
class KnownDirectories {
 public:
  explicit KnownDirectories(SlotTable& slots) : slots_(slots) {}

  // The node id for directory `file`. Counts the lookup that the reply will give the kernel, here and in the
  // slot. `current_slot` returns the slot for new ids, which must be pinned; `new_slot` makes another one if
  // that id is taken. Both are called with the table's lock held. Counting both under one lock keeps a
  // concurrent forget from freeing the slot in between.
  NodeHandle Acquire(FileId file, const std::function<Slot()>& current_slot,
                     const std::function<Slot()>& new_slot);
  // The same for a directory from a file handle whose slot is that of `view`. Throws Error ESTALE if the
  // directory has got another id since.
  NodeHandle AcquireAgain(FileId file, const View& view);

  // The generation behind a node id; 0 (any) if it is not known. Throws Error ESTALE if the node was
  // disowned.
  uint32_t GenerationOf(NodeId node);

  // From now on no directory is identical to a known one: the known node ids are stale, and stay taken until
  // the kernel forgets them.
  void Disown();

  // The directory has lost its name by rmdir(2) or by a rename over it. Called before the kernel is told.
  void Remove(NodeId node);

  // Drops `lookups` lookups; the caller then drops them from the slot.
  void Forget(NodeId node, uint64_t lookups);

  // A listing of the directory, with attributes, is about to be made. `TakeListed` returns the directories
  // noted since its last call that the kernel still knows.
  void NoteListing(NodeId node);
  std::vector<NodeId> TakeListed();

  // Whether the kernel knows a directory with that inode number, of any generation.
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
  // That directory if it is known, with one more lookup counted; else empty. `taken`: another directory has its number
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
