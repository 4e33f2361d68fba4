// Which programs use a workspace.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ckptfs::cli {

struct WorkspaceUser {
  pid_t pid = 0;
  std::string command;
  std::string use;  // "stands in it", "has a/b open", "runs a/b"
};

// The use that a link in /proc/PID shows, if it leads to the directory `root` or below: `link` is "cwd", "root",
// "exe" or "fd/N", `target` where it leads. Empty if it is no use: elsewhere, or in the lists of snapshots.
std::string UseOf(const std::string& link, const std::string& target, const std::string& root);

// The processes that have a directory or file of the workspace open, stand in it, or run a program of it, each
// once; without this process. `root`: the workspace's path, `device` its st_dev. A user other than root sees
// only the user's own processes, and nobody sees those of other mount namespaces.
std::vector<WorkspaceUser> FindUsers(const std::string& root, dev_t device);

// "bash (pid 7) stands in it, vi (pid 9) has a/b open and 3 more".
std::string Describe(const std::vector<WorkspaceUser>& users);

}  // namespace ckptfs::cli
