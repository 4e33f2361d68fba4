// Operations whose phases the caller drives.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/interface/backend.h"
#include "catalog/db/records.h"

namespace ckptfs {

// A checkpoint, rollback, removal or comparison needs the workspace's live tree to stand still for a while,
// and only the caller, which serves the tree, can achieve that: it freezes the tree between two phases and
// thaws it after another, as each class below says. The operation holds its locks (OperationLocks) from its
// beginning to the end of its last phase. Lock order: these locks, then the freeze. An operation destroyed
// before its commit has no effect.
//
// Each is used by one thread. Functions throw Error, and are called at most once, in the order of their
// declaration. The Store must outlive them.

// A new workspace that is filled before it becomes visible; until the commit, a crash leaves it as debris.
class PendingWorkspace {
 public:
  virtual ~PendingWorkspace() = default;
  virtual Volume& volume() = 0;
  virtual WorkspaceRecord Commit() = 0;  // EEXIST if the name was taken meanwhile
};

// Facts about the live tree at the moment of a checkpoint.
struct FrozenFacts {
  // Number of files that are open but have no name. While the tree is frozen, the caller keeps them linked in
  // kUnlinkedName.
  uint64_t unlinked_open = 0;
  // Why the copy is not one moment of all that programs write; empty: it is.
  std::string why_not_one_moment;
};

class PendingCheckpoint {
 public:
  virtual ~PendingCheckpoint() = default;
  // Frozen.
  virtual void Take(const FrozenFacts& facts) = 0;
  // Thawed. Durable on return.
  virtual SnapshotRecord Commit() = 0;
};

struct RollbackResult {
  WorkspaceRecord workspace;  // with the new volume
  VolumeId old_volume;        // the previous live volume
  // The row that keeps the previous state: a new pre-rollback snapshot, or, for an exchange, the snapshot
  // that took the name. Empty if undo is off, or if that state equalled a snapshot (`equal_to` names it) and
  // its volume is destroyed.
  std::optional<SnapshotRecord> kept;
  std::optional<SnapshotRecord> equal_to;
  // The previous state had been kept, and then turned out to equal `equal_to`: this row existed for a moment,
  // and is gone.
  std::optional<SnapshotRecord> dropped;
  bool in_writing = false;  // writers remain on the kept state: WritersGone will follow
};

class PendingRollback {
 public:
  virtual ~PendingRollback() = default;
  // Frozen. `in_writing`: programs go on writing to the previous state, which is then kept in any case, and
  // stays writable until Store::WritersGone. Returns whether it is kept: then FrozenFacts::unlinked_open is
  // needed next.
  virtual bool KeepsStateBefore(bool in_writing) = 0;
  // Frozen. On return the catalog has the new live tree, which must be served before the thaw.
  virtual RollbackResult Commit(uint64_t unlinked_open) = 0;
  // Thawed. The previous state may turn out to equal a snapshot, and is then dropped. Fails only for errors
  // that also end the process.
  virtual RollbackResult Finish() = 0;
};

class PendingRemoval {
 public:
  virtual ~PendingRemoval() = default;
  // Frozen, and empty.
  virtual void Commit() = 0;
  // Thawed.
  virtual void Finish() = 0;
};

// Removes a workspace with all its snapshots and files. Commit is called with the freeze lock closed, Finish
// after it is open.
class PendingForgetting : public PendingRemoval {
 public:
  // The snapshots removed with it, without their texts.
  virtual const std::vector<SnapshotRecord>& snapshots() const = 0;
};

class PendingComparison {
 public:
  virtual ~PendingComparison() = default;
  // Whether to compare a private copy of the live tree, which is made while the tree is frozen.
  virtual bool IsOfLiveTree() const = 0;
  virtual void CopyLiveTree() = 0;
  // Thawed: call one of these. They throw the errors of the limits. The list must not outlive the limits,
  // which account for its memory.
  virtual DiffList Changes(WorkLimits& limits) = 0;
  virtual bool Differs(WorkLimits& limits) = 0;
};

// Whether a live state differs from its parent snapshot.
struct ParentComparison {
  bool changed = false;
  std::unique_ptr<PendingComparison> pending;  // null: see `changed`; else ask its Differs
};

}  // namespace ckptfs
