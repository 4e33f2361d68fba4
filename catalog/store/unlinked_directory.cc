#include "catalog/store/unlinked_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/limits.h>
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <tuple>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/proc_path.h"
#include "catalog/trees/names.h"

namespace ckptfs {
namespace {

constexpr mode_t kMode = 0700;
constexpr uint64_t kStatBlockBytes = 512;

// The name under which calls that take no O_PATH descriptor reach its file.

UniqueFd OpenDirectory(const Volume& volume) {
  UniqueFd directory(openat(volume.root_fd(), kUnlinkedName.data(),
                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC));
  if (!directory.valid() && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
    ThrowErrno(fmt::format("open {} of volume {}", kUnlinkedName, volume.id().str()));
  }
  return directory;
}

// In a store from before the name was reserved, a user's file may have that name.
void RequireOwn(const Volume& volume, const struct stat& status) {
  if (S_ISDIR(status.st_mode) && status.st_uid == 0 && (status.st_mode & 077) == 0) return;
  throw Error(EEXIST, fmt::format("use {} of volume {}", kUnlinkedName, volume.id().str()),
              "something else has this name, which ckptfs keeps for itself");
}

// Calls `visit` with each name in the directory until it returns false.
void ForEachName(const UniqueFd& directory, const std::function<bool(const char*)>& visit) {
  constexpr char kReading[] = "read the directory of unlinked files";
  UniqueFd own(CheckSyscall(fcntl(directory.get(), F_DUPFD_CLOEXEC, 0), kReading));
  CheckSyscall(lseek(own.get(), 0, SEEK_SET), kReading);
  ForEachEntry(std::move(own), kReading,
               [&visit](const dirent& entry) { return visit(entry.d_name); });
}

UniqueFd OpenFile(const UniqueFd& directory, const char* name) {
  return UniqueFd(CheckSyscall(openat(directory.get(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC),
                               fmt::format("open the unlinked file {}", name)));
}

struct stat StatOf(const UniqueFd& file, const char* name) {
  struct stat status {};
  CheckSyscall(fstat(file.get(), &status), fmt::format("stat the unlinked file {}", name));
  return status;
}

std::string LastPathOf(const UniqueFd& file) {
  std::array<char, size_t{2} * PATH_MAX> path{};
  const ssize_t size =
      getxattr(ProcPath(file.get()).c_str(), kLastPathXattr, path.data(), path.size());
  return size > 0 ? std::string(path.data(), static_cast<size_t>(size)) : std::string();
}

}  // namespace

UniqueFd OpenUnlinkedDirectory(const Volume& volume) {
  UniqueFd directory = OpenDirectory(volume);
  if (directory.valid()) RequireOwn(volume, StatOf(directory, kUnlinkedName.data()));
  return directory;
}

UniqueFd MakeUnlinkedDirectory(const Volume& volume) {
  UniqueFd directory = OpenUnlinkedDirectory(volume);
  if (directory.valid()) return directory;
  const std::string attempted =
      fmt::format("make {} of volume {}", kUnlinkedName, volume.id().str());
  struct stat root {};
  CheckSyscall(fstat(volume.root_fd(), &root), attempted);
  if (mkdirat(volume.root_fd(), kUnlinkedName.data(), kMode) != 0 && errno != EEXIST) {
    ThrowErrno(attempted);
  }
  // Another thread may change the root between these calls; its mtime is then too old by that much. Happens
  // once in the life of a volume and of the clones of its snapshots.
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, root.st_mtim};
  CheckSyscall(futimens(volume.root_fd(), times), attempted);
  directory = OpenUnlinkedDirectory(volume);
  if (!directory.valid()) throw Error(EEXIST, attempted, "something else has this name");
  // The root's default ACL may have given the directory one, or reduced its mode. If power fails before this,
  // the directory has fewer permissions than it should, which affects nobody who uses it.
  fremovexattr(directory.get(), "system.posix_acl_default");
  fremovexattr(directory.get(), XATTR_NAME_POSIX_ACL_ACCESS);
  CheckSyscall(fchmod(directory.get(), kMode), attempted);
  return directory;
}

std::string UnlinkedName(uint64_t inode) { return std::to_string(inode); }

void SetLastPath(int file_fd, const std::string& path) {
  CheckSyscall(setxattr(ProcPath(file_fd).c_str(), kLastPathXattr, path.data(), path.size(), 0),
               "note the last path of a file");
}

void ForgetLastPath(int file_fd) {
  if (removexattr(ProcPath(file_fd).c_str(), kLastPathXattr) == 0 || errno == ENODATA) return;
  ThrowErrno("forget the last path of a file");
}

std::string DirectoryPathIn(const Volume& volume, int directory_fd) {
  struct stat status {};
  if (fstat(directory_fd, &status) != 0 || status.st_nlink == 0) return {};
  // Relative to the root of a detached mount.
  const std::string root = PathOfDescriptor(volume.root_fd());
  const std::string path = PathOfDescriptor(directory_fd);
  if (root.empty() || path.size() <= root.size() || !path.starts_with(root)) return {};
  const size_t begin = root.ends_with('/') ? root.size() : root.size() + 1;
  return path.substr(begin) + "/";
}

uint64_t ClearUnlinkedFiles(const Volume& volume) {
  const UniqueFd directory = OpenUnlinkedDirectory(volume);
  if (!directory.valid()) return 0;
  std::vector<std::string> names;
  ForEachName(directory, [&names](const char* name) {
    names.emplace_back(name);
    return true;
  });
  for (const std::string& name : names) {
    const UniqueFd file = OpenFile(directory, name.c_str());
    if (StatOf(file, name.c_str()).st_nlink > 1) ForgetLastPath(file.get());
    Failpoint("unlinked.before-clear");
    CheckSyscall(unlinkat(directory.get(), name.c_str(), 0),
                 fmt::format("remove the unlinked file {} of volume {}", name, volume.id().str()));
  }
  return names.size();
}

bool HasUnlinkedFiles(const Volume& volume) {
  const UniqueFd directory = OpenDirectory(volume);
  if (!directory.valid()) return false;
  bool found = false;
  ForEachName(directory, [&found](const char*) {
    found = true;
    return false;
  });
  return found;
}

std::vector<UnlinkedFile> ListUnlinkedFiles(const Volume& volume) {
  std::vector<UnlinkedFile> files;
  const UniqueFd directory = OpenUnlinkedDirectory(volume);
  if (!directory.valid()) return files;
  ForEachName(directory, [&](const char* name) {
    const UniqueFd file = OpenFile(directory, name);
    const struct stat status = StatOf(file, name);
    files.push_back({.name = name,
                     .path = LastPathOf(file),
                     .size_bytes = static_cast<uint64_t>(status.st_size),
                     .allocated_bytes = static_cast<uint64_t>(status.st_blocks) * kStatBlockBytes});
    return true;
  });
  std::sort(files.begin(), files.end(), [](const UnlinkedFile& a, const UnlinkedFile& b) {
    return std::tie(a.path, a.name) < std::tie(b.path, b.name);
  });
  return files;
}

}  // namespace ckptfs
