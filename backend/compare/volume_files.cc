#include "backend/compare/volume_files.h"

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
#include <set>
#include <string_view>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/open_beneath.h"
#include "backend/base/proc_path.h"

namespace ckptfs {
namespace {

// A path for an error message; omitted if it is longer than programs can use.
std::string Named(const char* attempted, std::string_view path) {
  return fmt::format("{} {:?}", attempted, path.substr(0, PATH_MAX));
}

// The result of a system call on that path; the message is built only if it failed.
template <typename Result>
Result CheckAt(Result result, const char* attempted, const std::string& path) {
  if (result >= 0) return result;
  const int error = errno;
  throw Error(error, Named(attempted, path));
}

constexpr size_t kEntriesBetweenLooks = 1024;

int64_t Nanoseconds(const statx_timestamp& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

struct statx StatxOf(int fd, const std::string& path) {
  struct statx status = {};
  CheckAt(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status),
          "get the status of", path);
  return status;
}

uint64_t DeviceOf(const struct statx& status) {
  return makedev(status.stx_dev_major, status.stx_dev_minor);
}

// Flags that a user sets with chattr. The kernel sets others itself: btrfs "do not compress", on files that
// turned out not to shrink; ext4 those that describe how it stores a file or a large directory.
int UserFlags(int fd, const std::string& path) {
  int flags = 0;
  CheckAt(ioctl(fd, FS_IOC_GETFLAGS, &flags), "get the flags of", path);
  constexpr int kOfTheKernel =
      FS_NOCOMP_FL | FS_EXTENT_FL | FS_INDEX_FL | FS_HUGE_FILE_FL | FS_INLINE_DATA_FL;
  return flags & ~kOfTheKernel;
}

// The names of extended attributes, including ACLs. `self` may refer to an O_PATH descriptor of any file
// type: the calls by path accept that, those by descriptor do not.
std::set<std::string> XattrNames(const ProcPath& self, const std::string& path) {
  constexpr char kListing[] = "list the extended attributes of";
  std::set<std::string> sorted;
  if (CheckAt(listxattr(self.c_str(), nullptr, 0), kListing, path) == 0) return sorted;
  std::vector<char> names(XATTR_LIST_MAX);
  const ssize_t length =
      CheckAt(listxattr(self.c_str(), names.data(), names.size()), kListing, path);
  for (const char* name = names.data(); name < names.data() + length;
       name += std::strlen(name) + 1) {
    sorted.emplace(name);
  }
  return sorted;
}

// Value by value, as those of one file may total some hundred MiB.
bool XattrsDiffer(int older_fd, int newer_fd, const std::string& path) {
  const ProcPath older(older_fd);
  const ProcPath newer(newer_fd);
  const std::set<std::string> names = XattrNames(newer, path);
  if (XattrNames(older, path) != names) return true;
  if (names.empty()) return false;
  constexpr char kReading[] = "read an extended attribute of";
  std::vector<char> was(XATTR_SIZE_MAX);
  std::vector<char> is(XATTR_SIZE_MAX);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    const ssize_t old_size =
        CheckAt(getxattr(older.c_str(), name.c_str(), was.data(), was.size()), kReading, path);
    const ssize_t size =
        CheckAt(getxattr(newer.c_str(), name.c_str(), is.data(), is.size()), kReading, path);
    return old_size != size || std::memcmp(was.data(), is.data(), static_cast<size_t>(size)) != 0;
  });
}

// The first data at or after `offset`, or `size` if only a hole follows.
uint64_t NextData(int fd, uint64_t offset, uint64_t size, const std::string& path) {
  const off_t data = lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0 && errno == ENXIO) return size;
  return std::min(static_cast<uint64_t>(CheckAt(data, "find data in", path)), size);
}

// Reads `size` bytes, or up to the end of the file.
size_t ReadAt(int fd, uint64_t offset, std::vector<char>* block, const std::string& path) {
  size_t filled = 0;
  while (filled < block->size()) {
    const ssize_t got = pread(fd, block->data() + filled, block->size() - filled,
                              static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (CheckAt(got, "read", path) == 0) break;
    filled += static_cast<size_t>(got);
  }
  return filled;
}

// Compares two files of `size` bytes; skips ranges where both have holes.
bool ContentsDiffer(int older_fd, int newer_fd, uint64_t size, const std::string& path,
                    WorkLimits& limits) {
  constexpr size_t kBlockSize = size_t{256} << 10;
  std::vector<char> older_block(kBlockSize);
  std::vector<char> newer_block(kBlockSize);
  for (uint64_t offset = 0; offset < size;) {
    limits.RequireWanted();
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

bool IsDirectory(int parent_fd, const dirent& entry, const std::string& parent) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  // ext4 without filetype, xfs with ftype=0
  struct stat status {};
  CheckAt(fstatat(parent_fd, entry.d_name, &status, AT_SYMLINK_NOFOLLOW),
          "look at what is in the directory", parent);
  return S_ISDIR(status.st_mode);
}

}  // namespace

std::string HandleOf(int fd, const std::string& path) {
  alignas(file_handle) char buffer[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
  auto* handle = reinterpret_cast<file_handle*>(buffer);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  CheckAt(name_to_handle_at(fd, "", handle, &mount_id, AT_EMPTY_PATH), "get the file handle of",
          path);
  return {buffer + offsetof(file_handle, f_handle), handle->handle_bytes};
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty()) path += '/';
  return path += name;
}

VolumeFiles::VolumeFiles(int root_fd, WorkLimits& limits) : root_fd_(root_fd), limits_(limits) {
  root_device_ = DeviceOf(StatxOf(root_fd, "a volume's root"));
}

UniqueFd VolumeFiles::Open(const std::string& path, int flags) const {
  limits_.RequireWanted();
  UniqueFd fd = OpenLongBeneath(root_fd_, path.empty() ? "." : std::string_view(path), flags);
  if (!fd.valid()) ThrowErrno(Named("open", path));
  return fd;
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
  const ssize_t size =
      CheckAt(readlinkat(fd.get(), "", target.data(), target.size()), "read the link", path);
  return {target.data(), static_cast<size_t>(size)};
}

void DirectoryList::Add(std::string_view name, bool is_directory) {
  if (names_.size() > UINT32_MAX - name.size()) throw Error(E2BIG, "list a directory");
  // Both grow by doubling.
  held_.Add(2 * (sizeof(Entry) + name.size()));
  entries_.push_back(
      {static_cast<uint32_t>(names_.size()), static_cast<uint8_t>(name.size()), is_directory});
  names_ += name;
}

DirectoryEntry DirectoryList::operator[](size_t i) const {
  const Entry& entry = entries_[i];
  return {std::string_view(names_).substr(entry.name, entry.length), entry.is_directory};
}

void DirectoryList::SortByName() {
  const std::string_view names = names_;
  std::sort(entries_.begin(), entries_.end(), [names](const Entry& a, const Entry& b) {
    return names.substr(a.name, a.length) < names.substr(b.name, b.length);
  });
}

void DirectoryList::Remove(std::string_view name) {
  const std::string_view names = names_;
  std::erase_if(entries_,
                [&](const Entry& entry) { return names.substr(entry.name, entry.length) == name; });
}

DirectoryList VolumeFiles::List(const std::string& path) const {
  UniqueFd fd = Open(path, O_RDONLY | O_DIRECTORY);
  const int parent_fd = fd.get();  // open until the last entry has been seen
  DirectoryList entries(limits_);
  limits_.RequireWanted();  // also for many empty directories
  ForEachEntry(std::move(fd), Named("list the directory", path), [&](const dirent& entry) {
    if (entries.size() % kEntriesBetweenLooks == 0) limits_.RequireWanted();
    entries.Add(entry.d_name, IsDirectory(parent_fd, entry, path));
    return true;
  });
  entries.SortByName();
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
  // For other types, a plain open would wake a driver or wait for a writer.
  const bool openable = regular || is.IsDirectory();
  const int flags = openable ? O_RDONLY | O_NOATIME : O_PATH;
  const UniqueFd older_fd = older.files.Open(older.path, flags);
  const UniqueFd newer_fd = newer.files.Open(newer.path, flags);
  if (openable && UserFlags(older_fd.get(), older.path) != UserFlags(newer_fd.get(), newer.path)) {
    return true;
  }
  if (XattrsDiffer(older_fd.get(), newer_fd.get(), newer.path)) return true;
  return regular && compare_contents &&
         !older.files.SharesContents(was.identity.inode, newer.files, is.identity.inode) &&
         ContentsDiffer(older_fd.get(), newer_fd.get(), is.size, newer.path, newer.files.limits());
}

}  // namespace ckptfs
