// Files that programs can write to when a verb would take them away.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fs/holders.h"
#include "fs/mount_context.h"

namespace ckptfs {

// Refuses such verbs, and names the programs. Any thread may call any function; what is found may have
// changed when it returns, but for the live tree of a workspace whose gate is closed.
class BusyFiles {
 public:
  // The mount must outlive this.
  explicit BusyFiles(MountContext& mount) : mount_(mount) {}

  // What somebody can write to in the live tree without a further open.
  std::vector<HeldFile> InLive(const LiveWorkspace& workspace) const;
  // Waits for releases that are on their way, half a second at most.
  void AwaitReleases(const LiveWorkspace& workspace) const;
  // Throws EBUSY, of a rollback, if there are such files in the live tree.
  void RefuseOpenWriters(const LiveWorkspace& workspace) const;
  // Throws EBUSY, of what was `attempted`, if that snapshot keeps a state in which programs go on writing.
  void RefuseDetachedWriters(const SnapshotRecord& snapshot, const std::string& attempted,
                             const std::string& hint) const;

 private:
  // With the names that the files have in `volume`.
  std::vector<OpenWriter> HoldersOf(const std::vector<HeldFile>& files, const Volume& volume,
                                    int64_t workspace_id) const;

  MountContext& mount_;
};

}  // namespace ckptfs
