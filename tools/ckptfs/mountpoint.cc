#include "tools/ckptfs/mountpoint.h"

#include <fcntl.h>
#include <limits.h>
#include <spdlog/spdlog.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/mount_table.h"
#include "backend/base/text.h"

namespace ckptfs {
namespace {

std::string Absolute(const std::string& path) {
  std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), free);
  if (!real) {
    ThrowErrno("find the mount point " + path,
               errno == ENOENT ? "Make it first: mkdir -p " + ShellQuote(path) : "");
  }
  return real.get();
}

// Whether the topmost mount on `path` is a ckptfs mount.
bool IsOurs(const std::string& path) {
  const std::vector<Mount> mounts = ReadMounts("/proc/self/mountinfo");
  const auto topmost = std::find_if(mounts.rbegin(), mounts.rend(),
                                    [&](const Mount& mount) { return mount.target == path; });
  return topmost != mounts.rend() && topmost->type == kFilesystemType;
}

// A mount without a daemon returns ENOTCONN (ECONNABORTED: it is just going away) for everything that the
// kernel has not cached, as it has the root's stat(2). A daemon that is alive but hangs gets no other
// request.
bool IsDead(const std::string& path) {
  struct statx status {};
  return statx(AT_FDCWD, path.c_str(), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &status) != 0 &&
         (errno == ENOTCONN || errno == ECONNABORTED);
}

void ClearDeadMounts(const std::string& path) {
  while (IsDead(path)) {
    const std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
    if (!IsOurs(absolute)) {
      throw Error(ENOTCONN, "mount on " + path, "a dead mount of another filesystem is there",
                  "Unmount it: umount " + ShellQuote(path));
    }
    CheckSyscall(umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW),
                 "clear the dead mount on " + path);
    spdlog::info("cleared a dead mount on {}", path);
  }
}

// Whether `path`, which need not exist, is `directory` or below it, even if it is reached by another name,
// e.g. through a bind mount.
bool IsInside(const std::filesystem::path& path, const std::filesystem::path& directory) {
  std::error_code error;
  for (std::filesystem::path at = path;; at = at.parent_path()) {
    if (at == directory || std::filesystem::equivalent(at, directory, error)) return true;
    if (at == at.parent_path()) return false;
  }
}

}  // namespace

std::string PrepareMountpoint(const std::string& path, const std::string& store_path) {
  std::string clean = path;
  while (clean.size() > 1 && clean.ends_with('/')) clean.pop_back();
  ClearDeadMounts(clean);
  std::string absolute = Absolute(clean);
  std::error_code error;
  if (!std::filesystem::is_directory(absolute, error)) {
    throw Error(ENOTDIR, "mount on " + path, {}, "Choose a directory");
  }
  const std::string store = std::filesystem::weakly_canonical(store_path, error).string();
  if (IsInside(absolute, store)) {
    throw Error(EINVAL, "mount on " + path, "it lies in the store itself",
                "Choose a directory elsewhere");
  }
  if (IsInside(store, absolute)) {
    throw Error(EINVAL, "mount on " + path, "it contains the store, which the mount would hide",
                "Put the store or the mount point elsewhere");
  }
  if (!std::filesystem::is_empty(absolute, error) || error) {
    if (error) throw Error(error.value(), "look into the mount point " + path);
    throw Error(ENOTEMPTY, "mount on " + path, "the directory is not empty",
                "Choose an empty one, or unmount what is mounted there");
  }
  return absolute;
}

}  // namespace ckptfs
