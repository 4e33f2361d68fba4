// Files that programs can write to when a verb would take them away.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backend/mount/loop_device.h"
#include "fs/files/mount_context.h"
#include "fs/processes/holders.h"

namespace ckptfs {

// Refuses such verbs, and names the programs. Any thread may call any function; what is found may have
// changed when it returns, but for the live tree of a workspace whose freeze lock is closed. What looks for
// processes takes a second or so at most, and is called under no lock.
class BusyFiles {
 public:
  // The mount must outlive this.
  explicit BusyFiles(MountContext& mount) : mount_(mount) {}

  // What somebody can write to in the live tree without a further open.
  std::vector<HeldFile> InLive(const LiveWorkspace& workspace) const;
  // Waits for releases that are on their way, half a second at most.
  void AwaitReleases(const LiveWorkspace& workspace) const;
  // Throws EBUSY, of what was `attempted`, if there are such files in the live tree.
  void RefuseOpenWriters(const LiveWorkspace& workspace, const std::string& attempted,
                         const std::string& hint) const;
  // The same of a rollback.
  void RefuseOpenWriters(const LiveWorkspace& workspace) const;
  // Throws EBUSY, of what was `attempted`, if that snapshot keeps a state in which programs go on writing.
  void RefuseDetachedWriters(const SnapshotRecord& snapshot, const std::string& attempted,
                             const std::string& hint) const;

 private:
  // Processes and loop devices that have them, for people: a phrase for each of them and each file, with the
  // name that the file has in `volume`. If none is found at all, the names of the files.
  std::vector<std::string> HoldersOf(const std::vector<HeldFile>& files, const Volume& volume,
                                     int64_t workspace_id) const;
  // Of those, files whose names are given by inode.
  std::vector<AttachedFile> LoopDevicesOn(const std::vector<HeldFile>& files,
                                          const std::map<uint64_t, std::string>& names) const;

  MountContext& mount_;
};

}  // namespace ckptfs
