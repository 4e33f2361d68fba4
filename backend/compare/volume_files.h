// Files of a read-only volume, accessed by path.
#pragma once

#include <sys/stat.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/unique_fd.h"
#include "backend/base/work_limits.h"

namespace ckptfs {

// Decides whether two names, in one volume or in two with a common past, refer to the same file. Inode number
// and generation do not suffice where histories have diverged: two clones of a volume give the same numbers
// to different new files, on btrfs even in the same transaction. The birth time (to the nanosecond, not
// settable by users) and the type distinguish these.
struct FileIdentity {
  uint64_t inode = 0;
  uint32_t generation = 0;
  uint32_t type = 0;  // the S_IFMT bits
  int64_t birth_ns = 0;
  auto operator<=>(const FileIdentity&) const = default;  // NOLINT(modernize-use-nullptr)
};

struct FileStatus {
  FileIdentity identity;
  uint32_t mode = 0;  // permissions only
  uint32_t owner = 0;
  uint32_t group = 0;
  uint32_t links = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  uint64_t device = 0;   // of a device node
  bool foreign = false;  // root of another filesystem, not part of the volume
  bool IsDirectory() const { return S_ISDIR(identity.type); }
  bool IsRegular() const { return S_ISREG(identity.type); }
};

struct DirectoryEntry {
  std::string_view name;
  bool is_directory = false;
};

// The entries of a directory, in little memory, accounted to the limits.
class DirectoryList {
 public:
  explicit DirectoryList(WorkLimits& limits) : held_(limits) {}

  void Add(std::string_view name, bool is_directory);
  void SortByName();
  void Remove(std::string_view name);

  size_t size() const noexcept { return entries_.size(); }
  // Valid as long as the list.
  DirectoryEntry operator[](size_t i) const;

 private:
  struct Entry {
    uint32_t name;  // its offset
    uint8_t length;
    bool is_directory;
  };

  HeldBytes held_;
  std::string names_;
  std::vector<Entry> entries_;
};

// Accesses the files of one volume. Paths are relative to its root ("" is the root) and may exceed PATH_MAX.
// Symbolic links are not followed, and nothing outside is reached. All functions throw Error, with ENOENT if
// there is no such file. The virtual functions cover what differs between filesystems.
//
// Works under limits, which are checked for every file. Does not own the root's descriptor. Used by one
// thread.
class VolumeFiles {
 public:
  VolumeFiles(int root_fd, WorkLimits& limits);
  virtual ~VolumeFiles() = default;
  VolumeFiles(const VolumeFiles&) = delete;
  VolumeFiles& operator=(const VolumeFiles&) = delete;

  WorkLimits& limits() const noexcept { return limits_; }

  UniqueFd Open(const std::string& path, int flags) const;
  FileStatus Status(const std::string& path) const;
  // Empty if there is no file, or none of this volume.
  std::optional<FileStatus> Find(const std::string& path) const;
  bool Has(const std::string& path) const { return Find(path).has_value(); }
  std::string LinkTarget(const std::string& path) const;

  // The entries of a directory, sorted by name, without "." and "..".
  DirectoryList List(const std::string& path) const;

  // Calls `visit` with the paths of the file with that inode number, one per hard link, in no particular
  // order, until it returns false.
  virtual void ForEachPathOf(uint64_t inode,
                             const std::function<bool(const std::string& path)>& visit) const = 0;

  // Whether a file here and one of `other` have their contents in the same place on disk, so that they are
  // equal. False if not, or if that is unknown.
  virtual bool SharesContents(uint64_t inode, const VolumeFiles& other,
                              uint64_t other_inode) const = 0;

 protected:
  int root_fd() const noexcept { return root_fd_; }

 private:
  // For an open file, which may be O_PATH; `path` is for errors.
  virtual uint32_t GenerationOf(int fd, const std::string& path) const = 0;
  // Whether no file of a volume can have that inode number.
  virtual bool IsStub(uint64_t /*inode*/) const { return false; }

  int root_fd_;
  WorkLimits& limits_;
  uint64_t root_device_ = 0;
};

// The kernel's handle of an open file, without the header.
std::string HandleOf(int fd, const std::string& path);

// A file in one of two volumes.
struct FileAt {
  const VolumeFiles& files;
  const std::string& path;
  const FileStatus& status;
};

// Whether the status alone shows that two files differ in a way that counts for a comparison of volumes.
bool StatusDiffers(const FileStatus& older, const FileStatus& newer);

// Whether two files of the same type differ in a way that counts for a comparison of volumes: mode, owner,
// flags (chattr), extended attributes and ACLs; a regular file's mtime and size; a link's target; a device's
// number. Contents count only if `compare_contents`, and are read only if everything else is equal and they
// are not in the same place on disk.
bool FilesDiffer(const FileAt& older, const FileAt& newer, bool compare_contents);

// "directory/name", or just the name in the root.
std::string JoinPath(std::string_view directory, std::string_view name);

}  // namespace ckptfs
