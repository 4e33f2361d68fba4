#include "tools/ckpt/locate.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/mount_table.h"
#include "backend/base/proc_path.h"
#include "catalog/trees/names.h"
#include "fs/control/control_wire.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

// If a verb has just changed what a name refers to (ESTALE), the kernel itself retries once. With many verbs
// that may not suffice.
UniqueFd OpenPath(int at, const char* path, int flags = 0) {
  constexpr int kAttempts = 20;
  constexpr std::chrono::milliseconds kPause{5};
  for (int attempt = 1;; ++attempt) {
    UniqueFd fd(openat(at, path, O_PATH | O_CLOEXEC | flags));
    struct stat info {};
    const bool found = fd.valid() && fstat(fd.get(), &info) == 0;
    if (found || errno != ESTALE || attempt == kAttempts) return fd;
    std::this_thread::sleep_for(kPause);
  }
}

UniqueFd OpenCurrent() {
  UniqueFd fd = OpenPath(AT_FDCWD, ".", O_DIRECTORY);
  if (!fd.valid()) {
    throw Error(errno, "open the current directory", {},
                "Change to one that is there (cd \"$PWD\"), or name a workspace by a path: -w");
  }
  return fd;
}

// The directory as a Location; empty if it has no control file of ours.
std::optional<Location> TryPlace(UniqueFd directory) {
  struct statfs info {};
  if (fstatfs(directory.get(), &info) != 0) {
    if (errno == ENOTCONN) {
      throw Error(ENOTCONN, "reach the filesystem", "the daemon of this mount is gone",
                  "Mount it again: nothing that was written is lost");
    }
    return std::nullopt;
  }
  if (info.f_type != FUSE_SUPER_MAGIC) return std::nullopt;
  try {
    const Json hello =
        Ask(directory.get(), "the filesystem", Access::kRead, MakeRequest(wire::kHello));
    const Json& workspace = hello.at(wire::kWorkspace);
    return Location{std::move(directory),
                    workspace.is_string() ? workspace.get<std::string>() : ""};
  } catch (const Error& error) {
    // Another filesystem, with or without a file of that name.
    if (error.errno_value() == ENOENT || error.errno_value() == ENOTTY ||
        error.errno_value() == EISDIR || error.errno_value() == ELOOP) {
      return std::nullopt;
    }
    throw;
  }
}

std::string PathOfDirectory(int fd) {
  std::string path = PathOfDescriptor(fd);
  if (path.empty()) ThrowErrno("find the path of a directory");
  return path;
}

// The name W if `directory_fd` is at or below .snapshots/W of this mount; empty otherwise.
std::string WorkspaceOfSnapshots(int directory_fd, const Location& mount_root) {
  const std::string path = PathOfDirectory(directory_fd);
  std::string start = PathOfDirectory(mount_root.directory.get());
  if (!start.ends_with('/')) start += '/';
  start += std::string(kSnapshotsName) + "/";
  if (!path.starts_with(start)) return "";
  return path.substr(start.size(), path.find('/', start.size()) - start.size());
}

std::optional<Location> MountRootOf(const Location& place) {
  UniqueFd parent = OpenPath(place.directory.get(), "..", O_DIRECTORY);
  if (!parent.valid()) return std::nullopt;
  try {
    std::optional<Location> root = TryPlace(std::move(parent));
    if (root && root->is_mount_root()) return root;
  } catch (const Error&) {  // not permitted: then only the workspace is visible
  }
  return std::nullopt;
}

// The workspace that contains a directory; empty if none does.
std::optional<Location> WorkspaceOfDirectory(int directory_fd) {
  std::optional<Location> place = FindLocation(directory_fd);
  if (!place || !place->is_mount_root()) return place;
  const std::string name = WorkspaceOfSnapshots(directory_fd, *place);
  if (name.empty()) return std::nullopt;
  return OpenWorkspace(*place, name);
}

// Opens the directory at `path`, or the one that contains the file at `path`.
UniqueFd OpenDirectoryOf(const std::string& path) {
  UniqueFd fd = OpenPath(AT_FDCWD, path.c_str());
  if (!fd.valid()) ThrowErrno("open " + QuoteName(path));
  struct stat info {};
  CheckSyscall(fstat(fd.get(), &info), "look at " + QuoteName(path));
  if (S_ISDIR(info.st_mode)) return fd;
  const std::string real = PathOfDirectory(fd.get());
  fd = OpenPath(AT_FDCWD, real.substr(0, real.rfind('/') + 1).c_str(), O_DIRECTORY);
  if (!fd.valid()) ThrowErrno("open the directory of " + QuoteName(path));
  return fd;
}

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// Refuses a directory in a mount of ckptfs from which no Location is visible: the user does not mean another
// mount.
void RefusePart(int directory_fd) {
  struct stat status {};
  if (fstat(directory_fd, &status) != 0) return;
  const std::vector<Mount> mounts = OwnMounts();
  if (std::none_of(mounts.begin(), mounts.end(),
                   [&](const Mount& mount) { return mount.device == status.st_dev; })) {
    return;
  }
  throw Error(ENOENT, "find the mount", "only a part of a workspace can be seen from here",
              "Name a path in the whole workspace, or in the mount");
}

// The only Location that the mounts of this namespace offer.
Location FindOnlyMount() {
  std::vector<Location> places;
  std::vector<std::string> paths;
  std::vector<std::string> dead;
  for (const Mount& mount : OwnMounts()) {
    UniqueFd fd = OpenPath(AT_FDCWD, mount.target.c_str(), O_DIRECTORY);
    if (!fd.valid() && errno == ENOTCONN) dead.push_back(ShellQuote(mount.target));
    if (!fd.valid()) continue;
    try {
      std::optional<Location> place = FindLocation(fd.get());
      if (!place) continue;
      places.push_back(std::move(*place));
      paths.push_back(ShellQuote(mount.target));
    } catch (const Error& error) {
      if (error.errno_value() == ENOTCONN) dead.push_back(ShellQuote(mount.target));
    }
  }
  const std::string attempted = "find the mount";
  if (places.size() > 1) {
    throw Error(EINVAL, attempted, "several are mounted: " + Join(paths),
                "Run this inside one, or name a path in it with -w");
  }
  if (places.empty() && !dead.empty()) {
    throw Error(ENOTCONN, attempted, "the daemon of " + Join(dead) + " is gone", "Mount it again");
  }
  if (places.empty()) {
    throw Error(ENOENT, attempted, "no ckptfs is mounted that you may see",
                "Mount one with 'ckptfs STORE MOUNTPOINT'");
  }
  return std::move(places.front());
}

// What is visible from a directory, or else from anywhere.
Location WidestFrom(int directory_fd) {
  std::optional<Location> place = FindLocation(directory_fd);
  if (!place) {
    RefusePart(directory_fd);
    return FindOnlyMount();
  }
  if (place->is_mount_root()) return std::move(*place);
  std::optional<Location> root = MountRootOf(*place);
  return std::move(root ? *root : *place);
}

// Finds a workspace by name in what is visible from the current directory.
std::optional<Location> FindByName(int current, const std::string& name) {
  std::optional<Location> here = FindLocation(current);
  if (here && here->workspace == name) return here;
  Location widest = WidestFrom(current);
  if (widest.workspace == name) return widest;
  if (!widest.is_mount_root()) return std::nullopt;
  try {
    return OpenWorkspace(widest, name);
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT && error.errno_value() != EINVAL) throw;
    return std::nullopt;
  }
}

}  // namespace

std::string Location::Label() const {
  return is_mount_root() ? "the mount" : "workspace " + workspace;
}

bool IsPath(const std::string& workspace_argument) {
  return workspace_argument.find('/') != std::string::npos || workspace_argument == "." ||
         workspace_argument == "..";
}

std::optional<Location> FindLocation(int directory_fd) {
  UniqueFd directory = OpenPath(directory_fd, ".", O_DIRECTORY);
  if (!directory.valid() && errno == EACCES) {
    throw Error(EACCES, "enter the directory", "you may not", "Ask its owner, or root");
  }
  while (directory.valid()) {
    UniqueFd parent = OpenPath(directory.get(), "..", O_DIRECTORY);
    const bool is_top = !parent.valid() || IsSameDirectory(directory.get(), parent.get());
    std::optional<Location> place = TryPlace(std::move(directory));
    if (place || is_top) return place;
    directory = std::move(parent);
  }
  return std::nullopt;
}

std::optional<Location> FindWorkspaceIfSaid(const std::optional<std::string>& argument) {
  // Never one that is merely visible from here: a rollback needs an explicit choice.
  if (!argument) return WorkspaceOfDirectory(OpenCurrent().get());
  if (!IsPath(*argument)) {
    std::optional<Location> named = FindByName(OpenCurrent().get(), *argument);
    if (named) return named;
  }
  const UniqueFd directory = OpenPath(AT_FDCWD, argument->c_str());
  const int failure = directory.valid() ? 0 : errno;
  if (directory.valid()) {
    std::optional<Location> place = WorkspaceOfDirectory(OpenDirectoryOf(*argument).get());
    if (place) return place;
  }
  if (IsPath(*argument)) {
    const std::string attempted = "find the workspace of " + QuoteName(*argument);
    if (failure == 0) throw Error(ENOENT, attempted, "it is not in a workspace");
    if (failure == ENOTCONN) {
      throw Error(failure, attempted, "the daemon of its mount is gone", "Mount it again");
    }
    if (failure != ENOENT && failure != ENOTDIR) throw Error(failure, attempted);
    throw Error(ENOENT, attempted, "there is no such file or directory");
  }
  CheckName("workspace", *argument);
  throw Error(ENOENT, "find workspace " + QuoteName(*argument),
              "there is no workspace of this name", "'ckpt status' lists the workspaces");
}

Location FindWorkspace(const std::optional<std::string>& argument) {
  std::optional<Location> place = FindWorkspaceIfSaid(argument);
  if (place) return std::move(*place);
  throw Error(EINVAL, "choose a workspace", "the current directory is not in a workspace",
              "Name one with -w, or run this in one");
}

Location FindWidest(const std::optional<std::string>& path) {
  if (!path) return WidestFrom(OpenCurrent().get());
  const UniqueFd directory = OpenDirectoryOf(*path);
  if (!FindLocation(directory.get())) {
    throw Error(ENOENT, "find the mount of " + QuoteName(*path), "it is in no mount of ckptfs");
  }
  return WidestFrom(directory.get());
}

Location FindMountRoot(const std::optional<std::string>& path, const std::string& attempted) {
  Location mount = FindWidest(path);
  if (mount.is_mount_root()) return mount;
  throw Error(EPERM, attempted, "only one workspace can be seen from here",
              "Run this where the mount is");
}

Location OpenWorkspace(const Location& mount_root, const std::string& name) {
  CheckName("workspace", name);
  UniqueFd directory = OpenPath(mount_root.directory.get(), name.c_str(), O_DIRECTORY | O_NOFOLLOW);
  if (!directory.valid() && errno != ENOENT) ThrowErrno("open workspace " + name);
  std::optional<Location> place;
  if (directory.valid()) place = TryPlace(std::move(directory));
  if (place && place->workspace == name) return std::move(*place);
  throw Error(ENOENT, "open workspace " + name, "there is no workspace of this name",
              "'ckpt status' lists the workspaces");
}

std::string PathOf(const Location& place) { return PathOfDirectory(place.directory.get()); }

std::vector<Mount> OwnMounts(const std::string& mountinfo) {
  std::vector<Mount> found = ReadMounts(mountinfo);
  std::erase_if(found, [](const Mount& mount) { return mount.type != kFilesystemType; });
  std::stable_partition(found.begin(), found.end(),
                        [](const Mount& mount) { return mount.root == "/"; });
  std::set<dev_t> whole;
  std::set<std::pair<dev_t, std::string>> seen;
  std::erase_if(found, [&](const Mount& mount) {
    const bool is_part = mount.root != "/";
    if (is_part && whole.contains(mount.device)) return true;
    if (!is_part) whole.insert(mount.device);
    return !seen.emplace(mount.device, mount.root).second;
  });
  return found;
}

}  // namespace ckptfs::cli
