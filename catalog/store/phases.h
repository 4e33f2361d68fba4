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

// What a checkpoint, rollback, removal or comparison does to a workspace needs its live tree to stand still
// for a while, and only who serves the tree can make it: he freezes it between two phases, and thaws it
// after another, as each class below says. From its beginning to the end of its last phase the operation holds
// its locks (OperationLocks); the freeze comes after these. One that is destroyed before its commit has not
// happened.
//
// For one thread each. Functions throw Error, and are called at most once, in the order in which they stand
// here. The Store outlives them.

// A new workspace that is filled before anybody can see it; debris after a crash until the commit.
class PendingWorkspace {
 public:
  virtual ~PendingWorkspace() = default;
  virtual Volume& volume() = 0;
  virtual WorkspaceRecord Commit() = 0;  // EEXIST if the name was taken meanwhile
};

// What is known of the live tree at the moment of a checkpoint.
struct FrozenFacts {
  // Files that are open but have no name: who freezes the tree sees to it that they are found in
  // kUnlinkedName for as long as it is frozen.
  uint64_t unlinked_open = 0;
  // Why what is copied is not one moment of all that programs write; empty: it is.
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
  WorkspaceRecord workspace;  // as it is now: the new volume
  VolumeId old_volume;        // the live volume before
  // The row that keeps the state before: a new pre-rollback snapshot, or, for an exchange, the
  // snapshot that took the name. Empty if that state was equal to a snapshot and is dropped (its
  // volume is destroyed; `equal_to` names the snapshot that it was equal to), or undo is off.
  std::optional<SnapshotRecord> kept;
  std::optional<SnapshotRecord> equal_to;
  // The state before had been kept, and then turned out to be equal to `equal_to`: this row was there for a
  // moment, and is gone.
  std::optional<SnapshotRecord> dropped;
  bool in_writing = false;  // somebody goes on writing to what is kept: WritersGone is awaited
};

class PendingRollback {
 public:
  virtual ~PendingRollback() = default;
  // Frozen. `in_writing`: somebody goes on writing to the state before, which is then kept in any case, and
  // stays writable until Store::WritersGone. Returns whether it is kept: then FrozenFacts::unlinked_open
  // is asked for next.
  virtual bool KeepsStateBefore(bool in_writing) = 0;
  // Frozen. On return the catalog has the new live tree, which is to be served before the thaw.
  virtual RollbackResult Commit(uint64_t unlinked_open) = 0;
  // Thawed. The state before may turn out to be equal to a snapshot, and go. Fails only for what makes the
  // process end.
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

// A removal of a workspace with all its snapshots, whatever it holds. Commit is called frozen, Finish thawed.
class PendingForgetting : public PendingRemoval {
 public:
  // Those that go with it, without their texts.
  virtual const std::vector<SnapshotRecord>& snapshots() const = 0;
};

class PendingComparison {
 public:
  virtual ~PendingComparison() = default;
  // Whether a copy of the live tree, which nobody sees, is to be compared: taken frozen.
  virtual bool IsOfLiveTree() const = 0;
  virtual void CopyLiveTree() = 0;
  // Thawed: one of these. They throw what the limits say. The list lives no longer than the limits, which it
  // holds memory of.
  virtual DiffList Changes(WorkLimits& limits) = 0;
  virtual bool Differs(WorkLimits& limits) = 0;
};

// Whether a live state differs from its parent snapshot.
struct ParentComparison {
  bool changed = false;
  std::unique_ptr<PendingComparison> pending;  // null: `changed` says it; else its Differs
};

}  // namespace ckptfs
