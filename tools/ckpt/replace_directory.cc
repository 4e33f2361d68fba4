#include "tools/ckpt/replace_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/proc_path.h"
#include "backend/base/text.h"
#include "catalog/trees/names.h"
#include "catalog/trees/tree_removal.h"
#include "catalog/trees/tree_walk.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

constexpr const char* kKeptSuffix = ".before-ckptfs";
constexpr int kMaxKept = 1000;  // alternative names to try

FileTime ChangeTime(const struct statx& info) {
  return {info.stx_ctime.tv_sec, info.stx_ctime.tv_nsec};
}

// Looks for a change in a tree after a certain time. The root does not count: renaming it changes its ctime.
class ChangeSince : public TreeVisitor {
 public:
  explicit ChangeSince(FileTime time) : time_(time) {}
  void Enter(const TreeEntry& entry, int /*directory_fd*/) override { Look(entry); }
  void Visit(const TreeEntry& entry) override { Look(entry); }
  void Nested(const TreeEntry& /*entry*/) override {}
  void Leave(const TreeEntry& /*entry*/, int /*directory_fd*/) override {}

  const std::optional<std::string>& path() const noexcept { return path_; }

 private:
  void Look(const TreeEntry& entry) {
    if (!path_ && !entry.path.empty() && ChangeTime(entry.info) > time_) path_ = entry.path;
  }

  FileTime time_;
  std::optional<std::string> path_;
};

// Two symlinks that the destructor removes.
class ProbeLinks {
 public:
  explicit ProbeLinks(int parent_fd)
      : parent_fd_(parent_fd),
        first_(fmt::format(".ckptfs-init-{}-a", getpid())),
        second_(fmt::format(".ckptfs-init-{}-b", getpid())) {}
  ProbeLinks(const ProbeLinks&) = delete;
  ProbeLinks& operator=(const ProbeLinks&) = delete;
  ~ProbeLinks() {
    unlinkat(parent_fd_, first_.c_str(), 0);
    unlinkat(parent_fd_, second_.c_str(), 0);
  }

  bool Make() const {
    return symlinkat("a", parent_fd_, first_.c_str()) == 0 &&
           symlinkat("b", parent_fd_, second_.c_str()) == 0;
  }
  // Their creation time.
  FileTime Time() const { return ChangeTime(StatEntry(parent_fd_, first_, first_)); }
  bool Exchange() const {
    return renameat2(parent_fd_, first_.c_str(), parent_fd_, second_.c_str(), RENAME_EXCHANGE) == 0;
  }

 private:
  int parent_fd_;
  std::string first_;
  std::string second_;
};

}  // namespace

std::string WithSuffix(const std::string& name, const std::string& suffix) {
  return std::string(CutText(name, kMaxNameBytes - suffix.size())) + suffix;
}

ReplaceableDirectory::ReplaceableDirectory(const std::string& path)
    : directory_(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  const std::string attempted = "take in " + QuoteName(path);
  if (!directory_.valid()) ThrowErrno(attempted);
  struct statx info {};
  CheckSyscall(statx(directory_.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &info), attempted);
  path_ = PathOfDescriptor(directory_.get());
  if (path_.empty()) ThrowErrno("find the path of " + QuoteName(path));
  const size_t slash = path_.rfind('/');
  name_ = path_.substr(slash + 1);
  if (name_.empty()) throw Error(EINVAL, attempted, "it is the root of the whole tree");
  if ((info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
    throw Error(EBUSY, attempted, "it is a mount point, which cannot be replaced by a symlink",
                "Move its content into a directory of its own, and name that");
  }
  parent_ = UniqueFd(open(path_.substr(0, slash + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent_.valid()) ThrowErrno("open the directory above " + QuoteName(path_));
  if (!IsThisDirectory(name_)) throw Error(ESTALE, attempted, "it was moved meanwhile");
  TryExchange();
}

void ReplaceableDirectory::TryExchange() {
  const ProbeLinks probe(parent_.get());
  const std::string attempted = "put a symlink in the place of " + QuoteName(path_);
  if (!probe.Make()) ThrowErrno(attempted);
  begin_ = probe.Time();
  if (probe.Exchange()) return;
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) ThrowErrno(attempted);
  throw Error(EOPNOTSUPP, attempted, "its filesystem cannot exchange two names in one step",
              "Make an empty workspace with 'ckpt init MOUNTPOINT/NAME', and copy into that");
}

bool ReplaceableDirectory::IsThisDirectory(const std::string& name_beside) const {
  struct stat by_name {};
  struct stat by_fd {};
  return fstatat(parent_.get(), name_beside.c_str(), &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
         fstat(directory_.get(), &by_fd) == 0 && by_name.st_dev == by_fd.st_dev &&
         by_name.st_ino == by_fd.st_ino;
}

std::string ReplaceableDirectory::MakeLinkBeside(const std::string& target) const {
  for (int n = 1; n <= kMaxKept; ++n) {
    const std::string number = n == 1 ? "" : fmt::format("-{}", n);
    std::string name = WithSuffix(name_, kKeptSuffix + number);
    if (symlinkat(target.c_str(), parent_.get(), name.c_str()) == 0) return name;
    if (errno != EEXIST) ThrowErrno("make a symlink beside " + QuoteName(path_));
  }
  throw Error(EEXIST, "make a symlink beside " + QuoteName(path_), "all names for it are taken",
              "Remove old ones");
}

std::string ReplaceableDirectory::ReplaceBySymlink(const std::string& target) {
  std::string kept = MakeLinkBeside(target);
  // If power fails here: the directory is where it was, beside a useless symlink.
  Failpoint("init.before-exchange");
  const std::string attempted = "put a symlink in the place of " + QuoteName(path_);
  const auto exchange = [&] {
    return renameat2(parent_.get(), name_.c_str(), parent_.get(), kept.c_str(), RENAME_EXCHANGE);
  };
  if (exchange() != 0) {
    const int error = errno;
    unlinkat(parent_.get(), kept.c_str(), 0);
    throw Error(error, attempted);
  }
  if (!IsThisDirectory(kept)) {
    // Meanwhile another directory has got this name: exchange back.
    if (exchange() == 0) unlinkat(parent_.get(), kept.c_str(), 0);
    throw Error(ESTALE, attempted, "it was moved or replaced meanwhile");
  }
  // If power fails here: both names are old or both are new, depending on the filesystem's journal.
  Failpoint("init.after-exchange");
  CheckSyscall(fsync(parent_.get()), attempted);
  return kept;
}

void ReplaceableDirectory::RemoveKept(const std::string& kept_name) {
  const std::string attempted = "remove " + QuoteName(PathBeside(kept_name));
  ChangeSince changed(begin_);
  WalkTree(directory_.get(), changed);
  if (changed.path()) {
    throw Error(EBUSY, attempted,
                QuoteName(*changed.path()) + " in it has changed since the copy began",
                "Compare it with the workspace, and remove it yourself");
  }
  RemoveTreeContents(directory_.get());
  CheckSyscall(unlinkat(parent_.get(), kept_name.c_str(), AT_REMOVEDIR), attempted);
}

std::string ReplaceableDirectory::PathBeside(const std::string& other_name) const {
  return path_.substr(0, path_.rfind('/') + 1) + other_name;
}

}  // namespace ckptfs::cli
