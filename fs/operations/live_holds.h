// What keeps a live tree still while a verb works on it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fs/files/mount_context.h"

namespace ckptfs {

// Closes the freeze lock of a workspace while it exists. Used by the thread of a verb.
class FreezeHold {
 public:
  // `becomes_snapshot`: the live tree itself is what is kept, and not a copy that is made of it.
  FreezeHold(MountContext& mount, std::shared_ptr<LiveWorkspace> workspace, bool becomes_snapshot);

  // Sees to it that files which are open but have no name are found in kUnlinkedName by whoever copies the
  // live tree while this exists. Returns how many there are. Called at most once.
  uint64_t GatherUnlinked();

  // The same where writes have been stopped already; null: none have.
  uint64_t GatherUnlinked(const WriteBarrier::Stopped* stopped);
  uint64_t left_out() const { return gathered_ ? gathered_->left_out() : 0; }
  // Stops writes to those of `nodes` that are open for writing. Null if there are none.
  std::unique_ptr<WriteBarrier::Stopped> StopWrites(const std::vector<NodeId>& nodes);

 private:
  MountContext& mount_;
  std::shared_ptr<LiveWorkspace> workspace_;  // keeps the freeze lock that `closed_` holds
  const bool becomes_snapshot_;
  // Ends after the freeze lock has opened: its end waits for calls that may stand behind a change at the
  // freeze lock, in the queue for a file's lock.
  std::unique_ptr<WriteBarrier::Stopped> stopped_;
  FreezeLock::Closed closed_;
  std::unique_ptr<UnlinkedFiles::Gathered> gathered_;  // ends before the freeze lock opens
};

// Makes those wait too who write to open files, and brings what they have written to the disk: what
// is copied while it exists is one moment. Used by the thread of a verb.
class ConsistentCut {
 public:
  ConsistentCut(MountContext& mount, const std::shared_ptr<LiveWorkspace>& workspace);

  // As FreezeHold has it.
  uint64_t GatherUnlinked() { return freeze_lock_.GatherUnlinked(stopped_.get()); }
  // Why what is copied while this exists is not one moment of all that programs write; empty: it is.
  std::string WhyNotOneMoment() const;
  // It is not one moment, for writes that may well have ended by now.
  bool IsWorthAnotherTry() const { return stopped_ && stopped_->is_gap_passing(); }

  // Who could write at that moment.
  const std::vector<WriterHandle>& writers() const noexcept { return writers_; }

 private:
  void StopWrites(MountContext& mount);

  std::unique_ptr<WriteBarrier::Stopped> stopped_;  // as FreezeHold has it
  FreezeHold freeze_lock_;
  std::vector<WriterHandle> writers_;
};

}  // namespace ckptfs
