// Mounts that others have made inside a workspace, and bind mounts of a workspace elsewhere.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ckptfs {

// One entry of a mount table.
struct ForeignMount {
  std::string target;  // as seen by the processes with that table
  std::string type;    // filesystem type
  pid_t process = 0;   // one of those processes; 0: the daemon has the same table
};

struct ForeignMounts {
  std::vector<ForeignMount> inside;  // mounted on the workspace's directory or below it
  std::vector<ForeignMount> of_it;   // bind mounts of that directory or of one below it
};

// Searches the mount namespaces of all visible processes. Reads one kernel table per namespace, and calls no
// filesystem of ours. But a process can block readers of its namespace, so a scout reads, for two seconds at
// most. It skips processes at which it hangs, which is logged, and then goes on with other users' processes.
// `device`: that of the mount. The result may be stale on return.
ForeignMounts FindForeignMounts(dev_t device, const std::string& workspace);

// The device number of the topmost mount at that path, from the mount table: stat(2) of the mount would need
// its daemon. 0 if there is none.
dev_t DeviceOfMount(const std::string& mountpoint);

// "tmpfs on /mnt/ckpt/W/m, proc on /proc (pid 4711)", for messages.
std::string Describe(const std::vector<ForeignMount>& mounts);

}  // namespace ckptfs
