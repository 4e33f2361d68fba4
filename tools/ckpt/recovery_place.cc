#include "tools/ckpt/recovery_place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/xattr.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/partial_file.h"
#include "backend/base/proc_path.h"
#include "backend/base/text.h"
#include "catalog/trees/tree_removal.h"
#include "tools/ckpt/replace_directory.h"

namespace ckptfs::cli {
namespace {

constexpr const char* kWorkSuffix = ".ckptfs-recover";
constexpr const char* kCopy = "copy";
constexpr const char* kMark = "mark";
// Exchanged with each other, to find out whether the filesystem can.
constexpr const char* kProbes[] = {"probe-a", "probe-b"};
constexpr size_t kMarkBytesMax = size_t{1} << 20;

void RemoveIfThere(int directory_fd, const char* name, const std::string& attempted,
                   int flags = 0) {
  if (unlinkat(directory_fd, name, flags) != 0 && errno != ENOENT) ThrowErrno(attempted);
}

}  // namespace

RecoveryPlace::RecoveryPlace(const std::string& path) {
  std::string rest = path;
  while (rest.size() > 1 && rest.ends_with('/')) rest.pop_back();
  const size_t slash = rest.rfind('/');
  name_ = rest.substr(slash == std::string::npos ? 0 : slash + 1);
  if (name_.empty() || name_ == "." || name_ == "..") {
    throw Error(EINVAL, "recover " + QuoteName(path), "it is not the name of a symlink",
                "Name the symlink that 'ckpt init' has made");
  }
  const std::string above = slash == std::string::npos ? "." : rest.substr(0, slash + 1);
  parent_ = UniqueFd(open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent_.valid()) ThrowErrno("open the directory above " + QuoteName(path));
  std::string parent_path = PathOfDescriptor(parent_.get());
  if (parent_path.empty()) ThrowErrno("find the path of " + QuoteName(path));
  path_ = (parent_path == "/" ? "" : parent_path) + "/" + name_;
  work_name_ = WithSuffix("." + name_, kWorkSuffix);
}

std::string RecoveryPlace::attempted() const { return "recover " + QuoteName(path_); }

std::optional<struct stat> RecoveryPlace::Look(int directory_fd, const char* name) const {
  struct stat info {};
  if (fstatat(directory_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0) return info;
  if (errno != ENOENT) ThrowErrno(attempted());
  return std::nullopt;
}

std::string RecoveryPlace::LinkIn(int directory_fd, const char* name) const {
  std::string target(PATH_MAX, '\0');
  const ssize_t length =
      CheckSyscall(readlinkat(directory_fd, name, target.data(), target.size()), attempted());
  target.resize(static_cast<size_t>(length));
  return target;
}

std::string RecoveryPlace::ReadLink() const {
  const std::optional<struct stat> found = Look(parent_.get(), name_.c_str());
  if (!found) throw Error(ENOENT, attempted());
  if (!S_ISLNK(found->st_mode)) {
    throw Error(EINVAL, attempted(),
                S_ISDIR(found->st_mode) ? "it is a directory, and no symlink to a workspace"
                                        : "it is no symlink to a workspace",
                "Name the symlink that 'ckpt init' has made");
  }
  return LinkIn(parent_.get(), name_.c_str());
}

void RecoveryPlace::ThrowInTheWay(const std::string& why) const {
  const std::string work = path_.substr(0, path_.size() - name_.size()) + work_name_;
  throw Error(EEXIST, attempted(), fmt::format("{} is in the way: {}", QuoteName(work), why),
              "Look at it, and move it away");
}

// --- The work directory --------------------------------------------------------------------------

bool RecoveryPlace::OpenWork() {
  work_ = UniqueFd(
      openat(parent_.get(), work_name_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!work_.valid()) {
    if (errno == ENOENT) return false;
    if (errno == ENOTDIR || errno == ELOOP) ThrowInTheWay("it is no directory");
    if (errno == EACCES) ThrowInTheWay("it belongs to another user");
    ThrowErrno(attempted());
  }
  struct stat info {};
  CheckSyscall(fstat(work_.get(), &info), attempted());
  if (info.st_uid != geteuid()) ThrowInTheWay("it belongs to another user");
  LockWork();
  // Another process may have removed it before it gave the lock away.
  const std::optional<struct stat> named = Look(parent_.get(), work_name_.c_str());
  if (named && named->st_ino == info.st_ino && named->st_dev == info.st_dev) return true;
  work_.Reset();
  return false;
}

void RecoveryPlace::LockWork() const {
  if (flock(work_.get(), LOCK_EX | LOCK_NB) == 0) return;
  if (errno != EWOULDBLOCK) ThrowErrno(attempted());
  throw Error(EBUSY, attempted(), "another 'ckpt recover' is at work on it", "Wait for its end");
}

std::optional<RecoveryMark> RecoveryPlace::ReadMark() const {
  const UniqueFd file(openat(work_.get(), kMark, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) {
    if (errno == ENOENT) return std::nullopt;
    ThrowErrno(attempted());
  }
  std::string text(kMarkBytesMax, '\0');
  const ssize_t got = CheckSyscall(read(file.get(), text.data(), text.size()), attempted());
  return ParseMark(std::string_view(text).substr(0, static_cast<size_t>(got)));
}

bool RecoveryPlace::IsCopy(const std::optional<struct stat>& found) const {
  return found && S_ISDIR(found->st_mode) && found->st_ino == mark_->copy_inode;
}

bool RecoveryPlace::IsOurLink(int directory_fd, const char* name) const {
  const std::optional<struct stat> found = Look(directory_fd, name);
  return found && S_ISLNK(found->st_mode) && LinkIn(directory_fd, name) == mark_->link;
}

std::optional<RecoveryMark> RecoveryPlace::TakeOver() {
  if (!OpenWork()) return std::nullopt;
  mark_ = ReadMark();
  if (!mark_) {
    RemoveUnmarked();
    return std::nullopt;
  }
  if (mark_->name != name_) ThrowInTheWay("it is of " + QuoteName(mark_->name));
  const std::optional<struct stat> copy = Look(work_.get(), kCopy);
  // The symlink may have been put in the place of something else that came there at the last moment.
  if (copy && !IsCopy(copy) && !IsOurLink(work_.get(), kCopy)) {
    ThrowInTheWay("its 'copy' is not what 'ckpt recover' made");
  }
  // After the exchange the symlink is there, unless the work directory was just being removed.
  const bool is_begun = copy && S_ISDIR(copy->st_mode);
  if (!is_begun && IsCopy(Look(parent_.get(), name_.c_str()))) return mark_;
  RemoveWork();
  return std::nullopt;
}

// Killed before it had its mark: whatever is in it is empty.
void RecoveryPlace::RemoveUnmarked() {
  const bool removed = (unlinkat(work_.get(), kCopy, AT_REMOVEDIR) == 0 || errno == ENOENT) &&
                       (unlinkat(work_.get(), "mark.partial", 0) == 0 || errno == ENOENT) &&
                       unlinkat(parent_.get(), work_name_.c_str(), AT_REMOVEDIR) == 0;
  if (!removed) ThrowInTheWay("'ckpt recover' did not make it");
  work_.Reset();
}

UniqueFd RecoveryPlace::BeginCopy(RecoveryMark mark) {
  if (mkdirat(parent_.get(), work_name_.c_str(), 0700) != 0) {
    ThrowErrno(attempted(), errno == EACCES || errno == EPERM
                                ? "You need permission to write to the directory above it"
                                : "");
  }
  if (!OpenWork()) throw Error(EBUSY, attempted(), "another 'ckpt recover' is at work on it");
  Failpoint("recover.after-work");
  // The copy must not inherit an ACL from the directory above.
  const ProcPath work(work_.get());
  removexattr(work.c_str(), XATTR_NAME_POSIX_ACL_DEFAULT);
  CheckSyscall(fchmod(work_.get(), 0700), attempted());
  CheckSyscall(mkdirat(work_.get(), kCopy, 0700), attempted());
  UniqueFd copy(openat(work_.get(), kCopy, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!copy.valid()) ThrowErrno(attempted());
  struct stat info {};
  CheckSyscall(fstat(copy.get(), &info), attempted());
  mark.copy_inode = info.st_ino;
  Failpoint("recover.before-mark");
  PartialFile file(work_.get(), kMark);
  file.Write(FormatMark(mark));
  file.Keep();
  mark_ = std::move(mark);
  Failpoint("recover.after-mark");
  TryExchange();
  return copy;
}

void RecoveryPlace::TryExchange() const {
  for (const char* probe : kProbes) CheckSyscall(symlinkat("x", work_.get(), probe), attempted());
  const bool can =
      renameat2(work_.get(), kProbes[0], work_.get(), kProbes[1], RENAME_EXCHANGE) == 0;
  if (!can && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) ThrowErrno(attempted());
  if (!can) {
    throw Error(EOPNOTSUPP, attempted(), "its filesystem cannot exchange two names in one step",
                "Copy the workspace with 'cp -a' instead");
  }
  for (const char* probe : kProbes) RemoveIfThere(work_.get(), probe, attempted());
}

// --- The exchange --------------------------------------------------------------------------------

void RecoveryPlace::ExchangeNames() const {
  CheckSyscall(renameat2(work_.get(), kCopy, parent_.get(), name_.c_str(), RENAME_EXCHANGE),
               "put a directory in the place of " + QuoteName(path_));
}

void RecoveryPlace::Exchange() {
  Failpoint("recover.before-exchange");
  ExchangeNames();
  if (!IsOurLink(work_.get(), kCopy)) {
    ExchangeNames();
    throw Error(ESTALE, attempted(), "it was replaced meanwhile");
  }
  is_exchanged_ = true;
  Failpoint("recover.after-exchange");
  CheckSyscall(fsync(work_.get()), attempted());
  CheckSyscall(fsync(parent_.get()), attempted());
}

void RecoveryPlace::RemoveWork() {
  if (!work_.valid()) return;
  const std::optional<struct stat> copy = Look(work_.get(), kCopy);
  const std::string attempted = "remove the work directory " + QuoteName(work_name_);
  if (copy && S_ISDIR(copy->st_mode)) {
    if (mark_ && !IsCopy(copy)) ThrowInTheWay("its 'copy' is not what 'ckpt recover' made");
    // It may deny that even to its owner.
    if (fchmodat(work_.get(), kCopy, 0700, 0) != 0) ThrowErrno(attempted);
    const UniqueFd fd(openat(work_.get(), kCopy, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) ThrowErrno(attempted);
    if (mark_) RemoveTreeContents(fd.get(), Protection::kRemove);
    Failpoint("recover.after-contents");
    RemoveIfThere(work_.get(), kCopy, attempted, AT_REMOVEDIR);
  } else {
    RemoveIfThere(work_.get(), kCopy, attempted);
  }
  for (const char* probe : kProbes) RemoveIfThere(work_.get(), probe, attempted);
  Failpoint("recover.before-unmark");
  RemoveIfThere(work_.get(), kMark, attempted);
  Failpoint("recover.after-unmark");
  RemoveIfThere(parent_.get(), work_name_.c_str(), attempted, AT_REMOVEDIR);
  mark_.reset();
  work_.Reset();
}

}  // namespace ckptfs::cli
