// Files that programs can still write to when a verb would take them away.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backend/mount/loop_device.h"
#include "fs/nodes/mount_context.h"
#include "fs/nodes/nodes.h"
#include "fs/open/open_inodes.h"
#include "fs/processes/holders.h"

namespace ckptfs {

// Refuses such verbs and names the programs. Thread-safe. Results may be stale on return, except for the live
// tree of a workspace whose freeze lock is closed. Searches for processes take up to about a second; call
// them without holding a lock.
class BusyFiles {
 public:
  // All must outlive this object.
  BusyFiles(const MountContext& mount, Nodes& nodes, OpenInodes& open)
      : mount_(mount), nodes_(nodes), open_(open) {}

  // Files of the live tree that some program can write to without another open.
  std::vector<HeldFile> InLive(const LiveWorkspace& workspace) const;
  // Waits up to half a second for RELEASE requests that are under way.
  void AwaitReleases(const LiveWorkspace& workspace) const;
  // Throws EBUSY, naming what was `attempted`, if the live tree has such files.
  void RefuseOpenWriters(const LiveWorkspace& workspace, const std::string& attempted,
                         const std::string& hint) const;
  // The same for a rollback.
  void RefuseOpenWriters(const LiveWorkspace& workspace) const;
  // Throws EBUSY for what was `attempted` if programs are still writing to the state that `snapshot` keeps.
  void RefuseDetachedWriters(const SnapshotRecord& snapshot, const std::string& attempted,
                             const std::string& hint) const;

 private:
  // Processes and loop devices that hold the files, for display: one phrase per holder and file, with the
  // file's name in `volume`. If no holder is found, the names of the files.
  std::vector<std::string> HoldersOf(const std::vector<HeldFile>& files, const Volume& volume,
                                     int64_t workspace_id) const;
  // The loop devices among the holders; these files are named by inode.
  std::vector<AttachedFile> LoopDevicesOn(const std::vector<HeldFile>& files,
                                          const std::map<uint64_t, std::string>& names) const;

  const MountContext& mount_;
  Nodes& nodes_;
  OpenInodes& open_;
};

}  // namespace ckptfs
