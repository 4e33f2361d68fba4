// Finds the mount and the workspace that a command is about.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backend/base/mount_table.h"
#include "backend/base/unique_fd.h"
#include "tools/ckpt/client.h"

namespace ckptfs::cli {

// A directory with a control file: the root of a workspace or of a mount.
struct Location {
  UniqueFd directory;     // O_PATH
  std::string workspace;  // empty for the root of a mount

  bool is_mount_root() const noexcept { return workspace.empty(); }
  // For errors: "workspace proj".
  std::string Label() const;
  Json Ask(Access access, const Json& request, const AnswerHandlers& handlers = {}) const {
    return cli::Ask(directory.get(), Label(), access, request, handlers);
  }
};

// Whether the argument of -w is a path rather than a name: it contains a slash, or is "." or "..".
bool IsPath(const std::string& workspace_argument);

// The nearest Location at or above this directory; empty if it is not in a mount of ckptfs. Throws Error
// ENOTCONN if the mount is dead, EACCES without permission.
std::optional<Location> FindLocation(int directory_fd);

// The workspace that -w names (a workspace's name, or any path in it), or that contains the current
// directory, also through .snapshots/W. Throws Error ENOENT if there is no workspace of that name or no
// mount, EINVAL if nothing says which one.
Location FindWorkspace(const std::optional<std::string>& argument);

// The same, but empty if nothing says which one: then all are meant, or none.
std::optional<Location> FindWorkspaceIfSaid(const std::optional<std::string>& argument);

// The root of the mount that contains the current directory or the given path, else of the only mount. If
// only a workspace is visible (in a container), that workspace. Throws Error ENOENT if there is none, EINVAL
// if there are several, naming them.
Location FindWidest(const std::optional<std::string>& path = std::nullopt);

// The same, but it must be the root of a mount. Throws Error EPERM, saying what was `attempted`, if only a
// workspace is visible.
Location FindMountRoot(const std::optional<std::string>& path, const std::string& attempted);

// A workspace in a mount, by name. Throws Error ENOENT.
Location OpenWorkspace(const Location& mount_root, const std::string& name);

// The path of a Location as this process sees it. Throws Error.
std::string PathOf(const Location& place);

// Mounts of ckptfs in a mountinfo file: one per filesystem, mounts of whole filesystems before bind mounts of
// a part. Bind mounts of a part are omitted if the whole is mounted.
std::vector<Mount> OwnMounts(const std::string& mountinfo = "/proc/self/mountinfo");

}  // namespace ckptfs::cli
