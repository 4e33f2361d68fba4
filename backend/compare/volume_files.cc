#include "backend/compare/volume_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <string_view>

#include "backend/base/error.h"
#include "backend/base/open_beneath.h"
#include "backend/base/proc_path.h"

namespace ckptfs {
namespace {

UniqueFd OpenInVolume(int directory_fd, const std::string& path, int flags) {
  UniqueFd fd = OpenBeneath(directory_fd, path.c_str(), flags);
  if (!fd.valid()) ThrowErrno(fmt::format("open {:?} in a volume", path));
  return fd;
}

int64_t Nanoseconds(const statx_timestamp& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

struct statx StatxOf(int fd, const std::string& path) {
  struct statx status = {};
  CheckSyscall(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status),
               fmt::format("get the status of {:?}", path));
  return status;
}

uint64_t DeviceOf(const struct statx& status) {
  return makedev(status.stx_dev_major, status.stx_dev_minor);
}

// Flags that a user sets with chattr. Some the kernel sets itself: btrfs "do not compress", on files
// that turned out not to shrink, ext4 those that say how it keeps a file or a large directory.
int UserFlags(int fd, const std::string& path) {
  int flags = 0;
  CheckSyscall(ioctl(fd, FS_IOC_GETFLAGS, &flags), fmt::format("get the flags of {:?}", path));
  constexpr int kOfTheKernel =
      FS_NOCOMP_FL | FS_EXTENT_FL | FS_INDEX_FL | FS_HUGE_FILE_FL | FS_INLINE_DATA_FL;
  return flags & ~kOfTheKernel;
}

// Extended attributes, ACLs among them. `fd` may be O_PATH and of any type of file, which the
// calls that take a descriptor refuse and those that take a path do not.
std::map<std::string, std::string> ReadXattrs(int fd, const std::string& path) {
  const ProcPath self(fd);
  const std::string listing = fmt::format("list the extended attributes of {:?}", path);
  std::map<std::string, std::string> xattrs;
  if (CheckSyscall(listxattr(self.c_str(), nullptr, 0), listing) == 0) return xattrs;
  std::vector<char> names(XATTR_LIST_MAX);
  const ssize_t length = CheckSyscall(listxattr(self.c_str(), names.data(), names.size()), listing);
  std::vector<char> value(XATTR_SIZE_MAX);
  for (const char* name = names.data(); name < names.data() + length;
       name += std::strlen(name) + 1) {
    const ssize_t size = CheckSyscall(getxattr(self.c_str(), name, value.data(), value.size()),
                                      fmt::format("read an extended attribute of {:?}", path));
    xattrs.emplace(name, std::string(value.data(), static_cast<size_t>(size)));
  }
  return xattrs;
}

// The first data at or after `offset`, or `size` if only a hole follows.
uint64_t NextData(int fd, uint64_t offset, uint64_t size, const std::string& path) {
  const off_t data = lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0 && errno == ENXIO) return size;
  return std::min(static_cast<uint64_t>(CheckSyscall(data, fmt::format("find data in {:?}", path))),
                  size);
}

// Reads `size` bytes, or up to the end of the file.
size_t ReadAt(int fd, uint64_t offset, std::vector<char>* block, const std::string& path) {
  size_t filled = 0;
  while (filled < block->size()) {
    const ssize_t got = pread(fd, block->data() + filled, block->size() - filled,
                              static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (CheckSyscall(got, fmt::format("read {:?}", path)) == 0) break;
    filled += static_cast<size_t>(got);
  }
  return filled;
}

// Compares two files of `size` bytes, leaving out where both have holes.
bool ContentsDiffer(int older_fd, int newer_fd, uint64_t size, const std::string& path) {
  constexpr size_t kBlockSize = size_t{256} << 10;
  std::vector<char> older_block(kBlockSize);
  std::vector<char> newer_block(kBlockSize);
  for (uint64_t offset = 0; offset < size;) {
    offset =
        std::min(NextData(older_fd, offset, size, path), NextData(newer_fd, offset, size, path));
    if (offset == size) break;
    const size_t older_size = ReadAt(older_fd, offset, &older_block, path);
    const size_t newer_size = ReadAt(newer_fd, offset, &newer_block, path);
    if (older_size != newer_size ||
        std::memcmp(older_block.data(), newer_block.data(), older_size) != 0) {
      return true;
    }
    offset += kBlockSize;
  }
  return false;
}

struct Directory {
  void operator()(DIR* stream) const { closedir(stream); }
};

}  // namespace

std::string HandleOf(int fd, const std::string& path) {
  alignas(file_handle) char buffer[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
  auto* handle = reinterpret_cast<file_handle*>(buffer);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  CheckSyscall(name_to_handle_at(fd, "", handle, &mount_id, AT_EMPTY_PATH),
               fmt::format("get the file handle of {:?}", path));
  return {buffer + offsetof(file_handle, f_handle), handle->handle_bytes};
}

std::string JoinPath(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

VolumeFiles::VolumeFiles(int root_fd) : root_fd_(root_fd) {
  root_device_ = DeviceOf(StatxOf(root_fd, "a volume's root"));
}

UniqueFd VolumeFiles::Open(const std::string& path, int flags) const {
  // The kernel takes at most PATH_MAX bytes at a time, so a longer path goes in stages.
  UniqueFd directory;
  size_t begin = 0;
  while (path.size() - begin >= PATH_MAX) {
    const size_t slash = path.rfind('/', begin + PATH_MAX - 1);
    if (slash == std::string::npos || slash <= begin) {
      throw Error(ENAMETOOLONG, "open a file in a volume");
    }
    directory = OpenInVolume(directory.valid() ? directory.get() : root_fd_,
                             path.substr(begin, slash - begin), O_PATH | O_DIRECTORY);
    begin = slash + 1;
  }
  const std::string rest = path.empty() ? "." : path.substr(begin);
  return OpenInVolume(directory.valid() ? directory.get() : root_fd_, rest, flags);
}

FileStatus VolumeFiles::Status(const std::string& path) const {
  const UniqueFd fd = Open(path, O_PATH);
  const struct statx raw = StatxOf(fd.get(), path);
  FileStatus status;
  status.identity = {.inode = raw.stx_ino,
                     .generation = 0,
                     .type = raw.stx_mode & uint32_t{S_IFMT},
                     .birth_ns = Nanoseconds(raw.stx_btime)};
  status.mode = raw.stx_mode & 07777u;
  status.owner = raw.stx_uid;
  status.group = raw.stx_gid;
  status.links = raw.stx_nlink;
  status.size = raw.stx_size;
  status.mtime_ns = Nanoseconds(raw.stx_mtime);
  if (S_ISCHR(raw.stx_mode) || S_ISBLK(raw.stx_mode)) {
    status.device = makedev(raw.stx_rdev_major, raw.stx_rdev_minor);
  }
  status.foreign = DeviceOf(raw) != root_device_ || IsStub(raw.stx_ino);
  if (!status.foreign) status.identity.generation = GenerationOf(fd.get(), path);
  return status;
}

std::optional<FileStatus> VolumeFiles::Find(const std::string& path) const {
  try {
    const FileStatus status = Status(path);
    if (status.foreign) return std::nullopt;
    return status;
  } catch (const Error& error) {
    if (error.errno_value() == ENOENT || error.errno_value() == ENOTDIR) return std::nullopt;
    throw;
  }
}

std::string VolumeFiles::LinkTarget(const std::string& path) const {
  const UniqueFd fd = Open(path, O_PATH);
  std::vector<char> target(PATH_MAX);
  const ssize_t size = CheckSyscall(readlinkat(fd.get(), "", target.data(), target.size()),
                                    fmt::format("read the link {:?}", path));
  return {target.data(), static_cast<size_t>(size)};
}

std::vector<DirectoryEntry> VolumeFiles::List(const std::string& path) const {
  UniqueFd fd = Open(path, O_RDONLY | O_DIRECTORY);
  const std::unique_ptr<DIR, Directory> stream(fdopendir(fd.get()));
  if (!stream) ThrowErrno(fmt::format("list the directory {:?}", path));
  (void)fd.Release();  // now the stream's
  std::vector<DirectoryEntry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream.get());  // NOLINT(concurrency-mt-unsafe): our own stream
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    bool is_directory = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN) {  // ext4 without filetype, xfs with ftype=0
      struct stat status {};
      CheckSyscall(fstatat(dirfd(stream.get()), entry->d_name, &status, AT_SYMLINK_NOFOLLOW),
                   fmt::format("look at what is in the directory {:?}", path));
      is_directory = S_ISDIR(status.st_mode);
    }
    entries.push_back({std::string(name), entry->d_ino, is_directory});
  }
  if (errno != 0) ThrowErrno(fmt::format("list the directory {:?}", path));
  std::sort(entries.begin(), entries.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  return entries;
}

bool StatusDiffers(const FileStatus& older, const FileStatus& newer) {
  if (older.identity.type != newer.identity.type) return true;
  if (older.mode != newer.mode || older.owner != newer.owner || older.group != newer.group)
    return true;
  if (older.device != newer.device) return true;
  return newer.IsRegular() && (older.mtime_ns != newer.mtime_ns || older.size != newer.size);
}

bool FilesDiffer(const FileAt& older, const FileAt& newer, bool compare_contents) {
  const FileStatus& was = older.status;
  const FileStatus& is = newer.status;
  if (StatusDiffers(was, is)) return true;
  const bool regular = is.IsRegular();
  if (S_ISLNK(is.identity.type) &&
      older.files.LinkTarget(older.path) != newer.files.LinkTarget(newer.path)) {
    return true;
  }
  // Of the other types a plain open would wake a driver or wait for a writer.
  const bool openable = regular || is.IsDirectory();
  const int flags = openable ? O_RDONLY | O_NOATIME : O_PATH;
  const UniqueFd older_fd = older.files.Open(older.path, flags);
  const UniqueFd newer_fd = newer.files.Open(newer.path, flags);
  if (openable && UserFlags(older_fd.get(), older.path) != UserFlags(newer_fd.get(), newer.path)) {
    return true;
  }
  if (ReadXattrs(older_fd.get(), older.path) != ReadXattrs(newer_fd.get(), newer.path)) return true;
  return regular && compare_contents &&
         !older.files.SharesContents(was.identity.inode, newer.files, is.identity.inode) &&
         ContentsDiffer(older_fd.get(), newer_fd.get(), is.size, newer.path);
}

}  // namespace ckptfs
