// What others have mounted in a workspace, or mounted a workspace on.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ckptfs {

// One entry of a table of mounts.
struct ForeignMount {
  std::string target;  // as the processes see it that have the table
  std::string type;    // of filesystem
  pid_t process = 0;   // one of those processes; 0: this one has the same table
};

struct ForeignMounts {
  std::vector<ForeignMount> inside;  // mounted on the workspace's directory, or on a name below it
  std::vector<ForeignMount> of_it;   // bind mounts of that directory, or of one below it
};

// Looks through the mount namespaces of all processes that can be seen: one read of a table of the
// kernel's each, which asks no filesystem of ours. But a process can keep whoever asks for its namespace
// waiting, so a scout looks, for two seconds at most, and passes over where it hangs, which the log tells:
// then comes what is of other users. `device`: of the mount. What is found may have changed when this returns.
ForeignMounts FindForeignMounts(dev_t device, const std::string& workspace);

// The device number of the topmost mount at that path, as the table of mounts has it: to look at the mount
// itself would need its daemon. 0 if there is none.
dev_t DeviceOfMount(const std::string& mountpoint);

// "tmpfs on /mnt/ckpt/W/m, proc on /proc (pid 4711)", for messages.
std::string Describe(const std::vector<ForeignMount>& mounts);

}  // namespace ckptfs
