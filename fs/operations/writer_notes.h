// Who had files open for writing at a checkpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "catalog/store/store.h"
#include "fs/files/mount_context.h"

namespace ckptfs {

// Whoever restores a running program from a checkpoint has to know what it was about to write. The
// books of open files say which handles there are; which process that means is seen in /proc only,
// where to look takes long. So a checkpoint takes the list of handles while the freeze lock is shut, and
// looks up the rest afterwards (ProcessSearch), in a time that is limited and under no lock of the store.
// Nobody has a file open: no look at /proc.
//
// What a program closes between the two is not listed: it cannot be told from what was closed before
// and whose RELEASE the kernel has not sent yet.
//
// Owned by the mount. Any thread may call anything.
class WriterNotes {
 public:
  // The handles that there were.
  struct Noted;

  explicit WriterNotes(MountContext& mount) : mount_(mount) {}

  // With the workspace's freeze lock shut; `handles` are FileTree::Writers of its files. Null if its data is missing.
  std::shared_ptr<const Noted> Take(int64_t workspace_id, std::vector<WriterHandle> handles) const;
  // With the freeze lock open: by what was noted and the snapshot taken then. Throws Error if it cannot be found out.
  OpenWriterList Find(const Noted& noted, const VolumeId& snapshot);

 private:
  class Search;

  MountContext& mount_;
  std::mutex mutex_;
  // Processes that were found to have what another one had opened. They are asked before all others
  // next time: a server's files, say, are its for long.
  std::set<pid_t> heirs_;
};

}  // namespace ckptfs
