// The processes that had files open for writing at a checkpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "backend/base/mutex.h"
#include "catalog/store/store.h"
#include "fs/nodes/mount_context.h"
#include "fs/nodes/nodes.h"
#include "fs/open/mapped_files.h"

namespace ckptfs {

// Restoring a running program from a checkpoint requires knowing what it was about to write. The table of
// open files has the handles; only /proc has the processes behind them, and searching it takes long. So a
// checkpoint takes the list of handles with the freeze lock closed, and looks up the rest afterwards
// (ProcessSearch), with a time limit and no lock of the store held. Without open files /proc is not read.
//
// Files that a program closes in between are not listed: they cannot be told from files that were closed
// before and whose RELEASE is still pending.
//
// Owned by the mount. Any thread may call anything.
class WriterNotes {
 public:
  // The handles at the time.
  struct Noted;

  WriterNotes(const MountContext& mount, Nodes& nodes, MappedFiles& mapped)
      : mount_(mount), nodes_(nodes), mapped_(mapped) {}

  // With the workspace's freeze lock closed; `handles` are FileTree::Writers of its files. Null if its data
  // is missing.
  std::shared_ptr<const Noted> Take(int64_t workspace_id, std::vector<WriterHandle> handles) const;
  // With the freeze lock open, from `noted` and the snapshot taken at that time. Throws Error on failure.
  OpenWriterList Find(const Noted& noted, const VolumeId& snapshot);

 private:
  class Search;

  const MountContext& mount_;
  Nodes& nodes_;
  MappedFiles& mapped_;
  Mutex mutex_;
  // Processes that were found to hold files that another process had opened. They are scanned first next
  // time: a server, for example, keeps such files for long.
  std::set<pid_t> heirs_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
