#include "tests/unit/backend/btrfs/scratch_btrfs.h"

#include <btrfsutil.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backend/base/error.h"
#include "backend/btrfs/btrfs_util.h"
#include "backend/mount/detached_mount.h"
#include "backend/mount/mkfs.h"

namespace ckptfs {
namespace {

constexpr off_t kImageBytes = off_t{1} << 30;  // sparse

std::string ProcPath(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

}  // namespace

ScratchBtrfs::ScratchBtrfs()
    : image_(CheckSyscall(memfd_create("scratch-btrfs", MFD_CLOEXEC), "make a memfd")) {
  CheckSyscall(ftruncate(image_.get(), kImageBytes), "size the image");
  MakeBtrfs(image_.get());
  device_.emplace(image_.get(), LoopOptions{.name = "scratch-btrfs"});
  root_ = MountDetached("btrfs", device_->path(), {});
}

UniqueFd ScratchBtrfs::OpenSubvolume(const std::string& name) const {
  return UniqueFd(CheckSyscall(
      openat(root_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open " + name));
}

UniqueFd ScratchBtrfs::MakeSubvolume(const std::string& name) {
  CheckBtrfsUtil(btrfs_util_create_subvolume_fd(root_.get(), name.c_str(), 0, nullptr, nullptr),
                 "make " + name);
  return OpenSubvolume(name);
}

UniqueFd ScratchBtrfs::Snapshot(int subvolume_fd, const std::string& name, bool read_only) {
  CheckBtrfsUtil(btrfs_util_create_snapshot_fd2(
                     subvolume_fd, root_.get(), name.c_str(),
                     read_only ? BTRFS_UTIL_CREATE_SNAPSHOT_READ_ONLY : 0, nullptr, nullptr),
                 "snapshot " + name);
  return OpenSubvolume(name);
}

void ScratchBtrfs::Delete(const std::string& name) {
  CheckBtrfsUtil(btrfs_util_delete_subvolume_fd(root_.get(), name.c_str(), 0), "delete " + name);
}

void ScratchBtrfs::Sync() { CheckSyscall(syncfs(root_.get()), "sync"); }

UniqueFd Tree::Open(const std::string& path, int flags) const {
  return UniqueFd(CheckSyscall(openat(fd_, path.empty() ? "." : path.c_str(),
                                      flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644),
                               "open " + path));
}

void Tree::Write(const std::string& path, std::string_view content) const {
  const UniqueFd fd = Open(path, O_WRONLY | O_CREAT | O_TRUNC);
  CheckSyscall(pwrite(fd.get(), content.data(), content.size(), 0), "write " + path);
}

void Tree::WriteAt(const std::string& path, off_t offset, std::string_view content) const {
  const UniqueFd fd = Open(path, O_WRONLY);
  CheckSyscall(pwrite(fd.get(), content.data(), content.size(), offset), "write " + path);
}

void Tree::Truncate(const std::string& path, off_t size) const {
  CheckSyscall(ftruncate(Open(path, O_WRONLY).get(), size), "truncate " + path);
}

void Tree::Allocate(const std::string& path, int mode, off_t offset, off_t size) const {
  CheckSyscall(fallocate(Open(path, O_WRONLY).get(), mode, offset, size), "fallocate " + path);
}

void Tree::Reflink(const std::string& from, const std::string& to) const {
  const UniqueFd source = Open(from, O_RDONLY);
  CheckSyscall(ioctl(Open(to, O_WRONLY).get(), FICLONE, source.get()), "reflink " + to);
}

void Tree::MakeDirectory(const std::string& path) const {
  CheckSyscall(mkdirat(fd_, path.c_str(), 0755), "mkdir " + path);
}

void Tree::MakeNode(const std::string& path, mode_t mode, dev_t device) const {
  CheckSyscall(mknodat(fd_, path.c_str(), mode, device), "mknod " + path);
}

void Tree::Symlink(const std::string& target, const std::string& path) const {
  CheckSyscall(symlinkat(target.c_str(), fd_, path.c_str()), "symlink " + path);
}

void Tree::Link(const std::string& path, const std::string& link) const {
  CheckSyscall(linkat(fd_, path.c_str(), fd_, link.c_str(), 0), "link " + link);
}

void Tree::Rename(const std::string& from, const std::string& to, unsigned flags) const {
  CheckSyscall(renameat2(fd_, from.c_str(), fd_, to.c_str(), flags), "rename " + from);
}

void Tree::Unlink(const std::string& path) const {
  CheckSyscall(unlinkat(fd_, path.c_str(), 0), "unlink " + path);
}

void Tree::RemoveDirectory(const std::string& path) const {
  CheckSyscall(unlinkat(fd_, path.c_str(), AT_REMOVEDIR), "rmdir " + path);
}

void Tree::Chmod(const std::string& path, mode_t mode) const {
  CheckSyscall(fchmodat(fd_, path.empty() ? "." : path.c_str(), mode, 0), "chmod " + path);
}

void Tree::Chown(const std::string& path, uid_t owner, gid_t group) const {
  CheckSyscall(fchownat(fd_, path.c_str(), owner, group, AT_SYMLINK_NOFOLLOW), "chown " + path);
}

void Tree::SetXattr(const std::string& path, const std::string& name,
                    std::string_view value) const {
  const UniqueFd fd = Open(path, O_PATH);
  CheckSyscall(setxattr(ProcPath(fd.get()).c_str(), name.c_str(), value.data(), value.size(), 0),
               "setxattr " + path);
}

void Tree::RemoveXattr(const std::string& path, const std::string& name) const {
  const UniqueFd fd = Open(path, O_PATH);
  CheckSyscall(removexattr(ProcPath(fd.get()).c_str(), name.c_str()), "removexattr " + path);
}

void Tree::SetFlags(const std::string& path, int flags) const {
  CheckSyscall(ioctl(Open(path, O_RDONLY).get(), FS_IOC_SETFLAGS, &flags), "chattr " + path);
}

int64_t Tree::Mtime(const std::string& path) const {
  struct stat status = {};
  CheckSyscall(fstatat(fd_, path.c_str(), &status, AT_SYMLINK_NOFOLLOW), "stat " + path);
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

void Tree::SetMtime(const std::string& path, int64_t mtime_ns) const {
  const timespec times[2] = {{0, UTIME_OMIT}, {mtime_ns / 1'000'000'000, mtime_ns % 1'000'000'000}};
  CheckSyscall(utimensat(fd_, path.c_str(), times, AT_SYMLINK_NOFOLLOW), "utimens " + path);
}

void Tree::SetAtime(const std::string& path, int64_t atime_ns) const {
  const timespec times[2] = {{atime_ns / 1'000'000'000, atime_ns % 1'000'000'000}, {0, UTIME_OMIT}};
  CheckSyscall(utimensat(fd_, path.c_str(), times, AT_SYMLINK_NOFOLLOW), "utimens " + path);
}

}  // namespace ckptfs
