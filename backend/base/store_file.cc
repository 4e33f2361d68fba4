#include "backend/base/store_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/open_beneath.h"
#include "backend/base/proc_path.h"

namespace ckptfs {
namespace {

const char* KindOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFIFO:
      return "FIFO";
    case S_IFCHR:
    case S_IFBLK:
      return "device";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symbolic link";
    case S_IFSOCK:
      return "socket";
    default:
      return "thing of another kind";
  }
}

std::string OddityOf(const struct stat& status, uint64_t bytes_max) {
  if (!S_ISREG(status.st_mode)) {
    return fmt::format("it is a {} and no regular file", KindOf(status.st_mode));
  }
  if (static_cast<uint64_t>(status.st_size) <= bytes_max) return {};
  return fmt::format("it has {} bytes; the maximum is {}", status.st_size, bytes_max);
}

// By its path in /proc: opens the very file that was checked, whatever has its name now.
UniqueFd OpenFound(const UniqueFd& found, int flags) {
  return UniqueFd(open(ProcPath(found.get()).c_str(), flags | O_CLOEXEC | O_NOCTTY));
}

}  // namespace

std::string StoreFileOddity(int directory_fd, const std::string& name, uint64_t bytes_max) {
  struct stat status {};
  if (fstatat(directory_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    return OddityOf(status, bytes_max);
  }
  if (errno == ENOENT) return {};
  ThrowErrno("look at " + name);
}

UniqueFd TryOpenStoreFile(int directory_fd, const std::string& name, int flags,
                          uint64_t bytes_max) {
  const UniqueFd found = OpenBeneath(directory_fd, name.c_str(), O_PATH);
  struct stat status {};
  if (!found.valid() || fstat(found.get(), &status) != 0) return {};
  if (!OddityOf(status, bytes_max).empty()) {
    errno = EUCLEAN;
    return {};
  }
  return OpenFound(found, flags);
}

UniqueFd OpenStoreFile(int directory_fd, const std::string& name, int flags,
                       const std::string& attempted, uint64_t bytes_max) {
  UniqueFd file = TryOpenStoreFile(directory_fd, name, flags, bytes_max);
  if (!file.valid() && errno == EUCLEAN) {
    throw Error(EUCLEAN, attempted, StoreFileOddity(directory_fd, name, bytes_max),
                fmt::format("Move {} away, or put the right one back", name));
  }
  CheckSyscall(file.get(), attempted);
  return file;
}

UniqueFd ReplaceStoreFile(int directory_fd, const std::string& name) {
  if (unlinkat(directory_fd, name.c_str(), 0) != 0 && errno != ENOENT) return {};
  return UniqueFd(
      openat(directory_fd, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
}

UniqueFd TryOpenBlockDevice(const std::string& path, int flags) {
  const UniqueFd found(open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status {};
  if (!found.valid() || fstat(found.get(), &status) != 0) return {};
  if (!S_ISBLK(status.st_mode)) {
    errno = ENOTBLK;
    return {};
  }
  return OpenFound(found, flags);
}

}  // namespace ckptfs
