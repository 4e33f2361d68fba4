// What keeps a live tree still while a verb works on it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fs/files/file_tree.h"
#include "fs/nodes/nodes.h"
#include "fs/open/gathered_orphans.h"
#include "fs/open/open_inodes.h"
#include "fs/open/write_barrier.h"

namespace ckptfs {

// What the classes below work on.
struct HoldParts {
  const Nodes& nodes;
  OpenInodes& open;
  WriteBarrier& barrier;
  FileTree& files;
};

// Holds a workspace's freeze lock closed for its lifetime. Used by the thread of a verb.
class FreezeHold {
 public:
  // `becomes_snapshot`: the live tree itself becomes the snapshot, instead of being copied.
  FreezeHold(const HoldParts& parts, std::shared_ptr<LiveWorkspace> workspace,
             bool becomes_snapshot);

  // Links open files without a name into kUnlinkedName, so that whatever copies the live tree during the
  // lifetime of this object finds them there. Returns their number. Called at most once.
  uint64_t GatherUnlinked();

  // The same when writes have already been stopped; null: they have not.
  uint64_t GatherUnlinked(const WriteBarrier::Stopped* stopped);
  uint64_t left_out() const { return gathered_ ? gathered_->left_out() : 0; }
  // Stops writes to those of `nodes` that are open for writing. Null if there are none.
  std::unique_ptr<WriteBarrier::Stopped> StopWrites(const std::vector<NodeId>& nodes);

 private:
  const HoldParts parts_;
  std::shared_ptr<LiveWorkspace> workspace_;  // keeps alive the freeze lock that `closed_` holds
  const bool becomes_snapshot_;
  // Destroyed after the freeze lock has opened: the destructor waits for calls that may be queued for a
  // file's lock, behind a change that waits at the freeze lock.
  std::unique_ptr<WriteBarrier::Stopped> stopped_;
  FreezeLock::Closed closed_;
  std::unique_ptr<GatheredOrphans> gathered_;  // destroyed before the freeze lock opens
};

// Also blocks writers of open files and writes their data to disk. Whatever is copied while this exists is
// one consistent point in time. Used by the thread of a verb.
class ConsistentCut {
 public:
  ConsistentCut(const HoldParts& parts, const std::shared_ptr<LiveWorkspace>& workspace);

  // As in FreezeHold.
  uint64_t GatherUnlinked() { return freeze_lock_.GatherUnlinked(stopped_.get()); }
  // Why a copy made while this exists is not one consistent point in time; empty: it is.
  std::string WhyNotOneMoment() const;
  // The cut is inconsistent because of writes that may well have ended by now.
  bool IsWorthAnotherTry() const { return stopped_ && stopped_->is_gap_passing(); }

  // The handles that could write at the time of the cut.
  const std::vector<WriterHandle>& writers() const noexcept { return writers_; }

 private:
  void StopWrites(const OrphanInodes& orphans);

  std::unique_ptr<WriteBarrier::Stopped> stopped_;  // as in FreezeHold
  FreezeHold freeze_lock_;
  std::vector<WriterHandle> writers_;
};

}  // namespace ckptfs
