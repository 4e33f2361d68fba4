// Which mount and which workspace a command is about.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backend/base/mount_table.h"
#include "backend/base/unique_fd.h"
#include "tools/ckpt/client.h"

namespace ckptfs::cli {

// A directory that has a control file: a workspace's root or the root of a mount.
struct Location {
  UniqueFd directory;     // O_PATH
  std::string workspace;  // its name; empty for the root of a mount

  bool is_mount_root() const noexcept { return workspace.empty(); }
  // For errors: "workspace proj".
  std::string Label() const;
  Json Ask(Access access, const Json& request, const AnswerHandlers& handlers = {}) const {
    return cli::Ask(directory.get(), Label(), access, request, handlers);
  }
};

// Which of two ways a text given with -w is meant: what has a slash, and "." and "..", is a path.
bool IsPath(const std::string& workspace_argument);

// The nearest place at or above this directory; empty if it is in no mount of ckptfs. Throws Error
// ENOTCONN if the mount is dead, EACCES if it may not be asked.
std::optional<Location> FindLocation(int directory_fd);

// The workspace that -w names (a workspace's name, or any path in it), or that the current
// directory is in, also by way of .snapshots/W. Throws Error ENOENT if there is none of that name
// or no mount, EINVAL if nothing says which.
Location FindWorkspace(const std::optional<std::string>& argument);

// The same, but empty where nothing says which: then all are meant, or none.
std::optional<Location> FindWorkspaceIfSaid(const std::optional<std::string>& argument);

// The root of the mount that the current directory, or the path given, is in, else of the only
// one there is; where just a workspace can be seen (in a container), that workspace. Throws Error
// ENOENT if there is none, EINVAL if there are several, naming them.
Location FindWidest(const std::optional<std::string>& path = std::nullopt);

// The same where it has to be the root of a mount. Throws Error EPERM, saying what was `attempted`, where
// just a workspace can be seen.
Location FindMountRoot(const std::optional<std::string>& path, const std::string& attempted);

// A workspace in a mount, by its name. Throws Error ENOENT.
Location OpenWorkspace(const Location& mount_root, const std::string& name);

// The path of a place as this process sees it. Throws Error.
std::string PathOf(const Location& place);

// Mounts of ckptfs in a mountinfo file: one for each filesystem, those of whole filesystems before bind
// mounts of a part. Bind mounts of a part are left out where the whole is there.
std::vector<Mount> OwnMounts(const std::string& mountinfo = "/proc/self/mountinfo");

}  // namespace ckptfs::cli
