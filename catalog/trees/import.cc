#include "catalog/trees/import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/proc_path.h"
#include "backend/base/text.h"
#include "catalog/trees/copy_file.h"
#include "catalog/trees/inode_flags.h"
#include "catalog/trees/names.h"
#include "catalog/trees/tree_walk.h"

namespace ckptfs {
namespace {

constexpr auto kProgressInterval = std::chrono::milliseconds(100);
// What a file costs in addition to its data, for the estimate of the space needed: inode, names and
// checksums, generously.
constexpr uint64_t kBytesPerEntry = 1024;
constexpr size_t kMaxNamedInError = 8;

using FileKey = std::pair<dev_t, uint64_t>;

FileKey KeyOf(const struct statx& info) { return {DeviceOf(info), info.stx_ino}; }

auto VersionOf(const struct statx& info) {
  return std::tuple(info.stx_size, info.stx_mtime.tv_sec, info.stx_mtime.tv_nsec,
                    info.stx_ctime.tv_sec, info.stx_ctime.tv_nsec);
}

bool IsSharedFile(const struct statx& info) {
  return !S_ISDIR(info.stx_mode) && info.stx_nlink > 1;
}

[[noreturn]] void ThrowChanged(const ImportOptions& options, std::string_view path) {
  throw Error(EAGAIN, options.verb + " " + Printable(path), "it changed while it was copied",
              "Stop what writes there and try again");
}

// A digest of a whole tree that changes when anything in it changes: name, type, owner, size or times of any
// file. Independent of order; constant memory. Every change updates a ctime, so when two digests differ, the
// file with the newest ctime is the culprit.
class TreeDigest {
 public:
  void Add(const TreeEntry& entry) {
    const struct statx& info = entry.info;
    const std::array<int64_t, 10> fields = {static_cast<int64_t>(info.stx_ino),
                                            info.stx_mode,
                                            static_cast<int64_t>(info.stx_size),
                                            info.stx_nlink,
                                            info.stx_mtime.tv_sec,
                                            info.stx_mtime.tv_nsec,
                                            info.stx_ctime.tv_sec,
                                            info.stx_ctime.tv_nsec,
                                            info.stx_uid,
                                            info.stx_gid};
    const uint64_t of_path = std::hash<std::string_view>{}(entry.path);
    const uint64_t of_fields = std::hash<std::string_view>{}(
        {reinterpret_cast<const char*>(fields.data()), sizeof fields});
    sum_ += of_path * 3 + (of_fields ^ (of_path << 32 | of_path >> 32));
    const std::pair<int64_t, uint32_t> changed(info.stx_ctime.tv_sec, info.stx_ctime.tv_nsec);
    if (changed >= newest_) {
      newest_ = changed;
      newest_path_ = entry.path;
    }
  }

  uint64_t sum() const noexcept { return sum_; }
  const std::string& newest_path() const noexcept { return newest_path_; }

 private:
  uint64_t sum_ = 0;
  std::pair<int64_t, uint32_t> newest_{INT64_MIN, 0};
  std::string newest_path_;
};

// First walk: what there is, how much, and whether it can be imported at all.
class Survey : public TreeVisitor {
 public:
  Survey(const ImportOptions& options, int destination_fd)
      : options_(options), destination_fd_(destination_fd) {}

  void Enter(const TreeEntry& entry, int /*directory_fd*/) override {
    for (const ForbiddenDirectory& forbidden : options_.forbidden) {
      if (KeyOf(entry.info) == FileKey(forbidden.device, forbidden.inode)) {
        throw Error(ELOOP, options_.verb + " " + Printable(entry.path),
                    "it holds " + forbidden.what);
      }
    }
    CheckReserved(entry);
    digest.Add(entry);
    ++entries;
  }

  void Visit(const TreeEntry& entry) override {
    CheckReserved(entry);
    digest.Add(entry);
    ++entries;
    if (!S_ISREG(entry.info.stx_mode)) return;
    // A file with several names is copied once.
    if (IsSharedFile(entry.info) && ++links_[KeyOf(entry.info)] > 1) return;
    bytes += entry.info.stx_size;
    allocated_bytes += entry.info.stx_blocks * 512;
    if (!probed_ && entry.info.stx_size > 0) {
      probed_ = true;
      const UniqueFd file =
          OpenEntry(entry.parent_fd, entry.name, O_RDONLY | O_NONBLOCK, entry.path);
      can_share = CanShareData(file.get(), destination_fd_);
    }
  }

  void Nested(const TreeEntry& entry) override {
    CheckReserved(entry);
    nested.push_back(entry.path);
  }

  void Leave(const TreeEntry& /*entry*/, int /*directory_fd*/) override {}

  // Throws if the tree cannot be imported.
  void Check() const {
    if (!nested.empty() && !options_.leave_out_nested) {
      std::string names;
      for (size_t i = 0; i < nested.size() && i < kMaxNamedInError; ++i) {
        names += (i > 0 ? ", " : "") + Printable(nested[i]);
      }
      if (nested.size() > kMaxNamedInError) {
        names += fmt::format(" and {} more", nested.size() - kMaxNamedInError);
      }
      throw Error(EXDEV, options_.verb + " the tree",
                  "it holds mount points or subvolumes, which a workspace cannot: " + names,
                  "Unmount or move them, or leave them out with --leave-out-nested");
    }
    const uint64_t needed = allocated_bytes + entries * kBytesPerEntry;
    if (options_.free_bytes && !can_share && needed > *options_.free_bytes) {
      throw Error(ENOSPC, options_.verb + " the tree",
                  fmt::format("it needs about {} MiB and {} MiB are free", (needed >> 20) + 1,
                              *options_.free_bytes >> 20),
                  options_.make_space);
    }
  }

  TreeDigest digest;
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t allocated_bytes = 0;
  bool can_share = false;
  std::vector<std::string> nested;

 private:
  static void CheckReserved(const TreeEntry& entry) {
    // A path without a slash is an entry of the root.
    if (entry.path != entry.name || !IsReservedInWorkspace(entry.name)) return;
    throw Error(EPERM, "import the tree",
                fmt::format("its entry {} has a name that ckptfs keeps for itself", entry.name),
                fmt::format("Rename it, as by: mv {} {}; then try again", ShellQuote(entry.name),
                            ShellQuote("old" + entry.name)));
  }

  const ImportOptions& options_;
  int destination_fd_;
  bool probed_ = false;
  std::map<FileKey, uint64_t> links_;
};

// Last walk: is the source still what the survey saw?
class Recheck : public TreeVisitor {
 public:
  void Enter(const TreeEntry& entry, int /*directory_fd*/) override { digest.Add(entry); }
  void Visit(const TreeEntry& entry) override { digest.Add(entry); }
  void Nested(const TreeEntry& /*entry*/) override {}
  void Leave(const TreeEntry& /*entry*/, int /*directory_fd*/) override {}

  TreeDigest digest;
};

// Opens `path` below `root_fd`, in pieces: a path may be longer than a system call accepts.
UniqueFd OpenDeep(int root_fd, std::string_view path, int flags = O_PATH) {
  UniqueFd current;
  std::string_view rest = path;
  for (;;) {
    const size_t slash = rest.find('/');
    const std::string name(rest.substr(0, slash));
    const int at = current.valid() ? current.get() : root_fd;
    if (slash == std::string_view::npos) return OpenEntry(at, name, flags, path);
    current = OpenEntry(at, name, O_PATH | O_DIRECTORY, path);
    rest.remove_prefix(slash + 1);
  }
}

// Second walk: the copy. Keeps a stack of destination directories beside the walk's own. A directory gets its
// attributes after its contents: later entries would change its times, and files copied into it must not
// inherit a default ACL.
class Copy : public TreeVisitor {
 public:
  Copy(const ImportOptions& options, const Survey& survey, int destination_fd)
      : options_(options),
        destination_fd_(destination_fd),
        copier_([this](uint64_t bytes) { Advance(bytes); }) {
    progress_.total_bytes = survey.bytes;
    progress_.total_entries = survey.entries;
  }

  void Enter(const TreeEntry& entry, int /*directory_fd*/) override {
    ++stats.directories;
    Begin(entry);
    if (entry.parent_fd < 0) {
      destination_.Push(OpenEntry(destination_fd_, ".", O_RDONLY | O_DIRECTORY, entry.path));
      return;
    }
    // Readable by nobody else until it has its own mode.
    CheckOn(entry.path, "make directory", mkdirat(destination_.top(), entry.name.c_str(), 0700));
    destination_.Push(
        OpenEntry(destination_.top(), entry.name, O_RDONLY | O_DIRECTORY, entry.path));
  }

  void Visit(const TreeEntry& entry) override {
    Begin(entry);
    if (IsSharedFile(entry.info) && LinkAgain(entry)) return;
    if (S_ISREG(entry.info.stx_mode)) {
      CopyRegular(entry);
      ++stats.files;
    } else {
      CopyOther(entry);
      ++stats.others;
    }
  }

  void Nested(const TreeEntry& entry) override {
    // The survey has refused these unless they are to be left out.
    stats.left_out.push_back(entry.path);
    if (!S_ISDIR(entry.info.stx_mode)) return;
    CheckOn(entry.path, "make directory", mkdirat(destination_.top(), entry.name.c_str(), 0755));
  }

  void Leave(const TreeEntry& entry, int directory_fd) override {
    const struct statx now = StatEntry(directory_fd, "", entry.path);
    if (VersionOf(now) != VersionOf(entry.info)) ThrowChanged(options_, entry.path);
    stats.attributes_left_out +=
        CopyAttributes(directory_fd, destination_.top(), entry.info, entry.path,
                       entry.path.empty() ? options_.no_root_xattrs : std::string_view());
    if (!entry.path.empty()) KeepFlags(directory_fd, destination_.top(), entry.path);
    destination_.Pop();
  }

  ImportStats Finish() {
    for (const auto& [path, flags] : protections_) {
      const UniqueFd file = OpenDeep(destination_fd_, path, O_RDONLY | O_NONBLOCK);
      if (!AddInodeFlags(file.get(), flags)) ++stats.attributes_left_out;
    }
    for (const auto& [key, link] : links_) stats.links_outside += link.missing > 0 ? 1 : 0;
    stats.copied_bytes = copier_.copied_bytes();
    stats.shared_bytes = copier_.shared_bytes();
    Report(true);
    return std::move(stats);
  }

  ImportStats stats;

 private:
  // A file with several names, some of which have been seen.
  struct Link {
    std::string path;      // of the first name, in source and destination
    uint32_t missing = 0;  // names not seen yet
  };

  void Begin(const TreeEntry& entry) {
    ++progress_.done_entries;
    progress_.path = entry.path;
    Report(false);
  }

  void Advance(uint64_t bytes) {
    progress_.done_bytes += bytes;
    Report(false);
  }

  void Report(bool always) {
    if (!options_.progress) return;
    const auto now = std::chrono::steady_clock::now();
    if (!always && now - reported_ < kProgressInterval) return;
    reported_ = now;
    if (!options_.progress(progress_)) {
      throw Error(ECANCELED, options_.verb + " the tree", "it was given up");
    }
  }

  // Makes another name for a file that has been copied. False if this is its first name.
  bool LinkAgain(const TreeEntry& entry) {
    const auto [found, is_new] =
        links_.try_emplace(KeyOf(entry.info), Link{entry.path, entry.info.stx_nlink - 1});
    if (is_new) return false;
    Link& link = found->second;
    const UniqueFd first = OpenDeep(destination_fd_, link.path);
    const ProcPath path_of_fd(first.get());
    CheckOn(entry.path, "link",
            linkat(AT_FDCWD, path_of_fd.c_str(), destination_.top(), entry.name.c_str(),
                   AT_SYMLINK_FOLLOW));
    ++stats.hard_links;
    if (--link.missing == 0) links_.erase(found);
    return true;
  }

  void CopyRegular(const TreeEntry& entry) {
    // Non-blocking: what was a file at the stat may be a FIFO by now.
    const UniqueFd source =
        OpenEntry(entry.parent_fd, entry.name, O_RDONLY | O_NONBLOCK, entry.path);
    const struct statx before = StatEntry(source.get(), "", entry.path);
    if (KeyOf(before) != KeyOf(entry.info) || !S_ISREG(before.stx_mode))
      ThrowChanged(options_, entry.path);
    const UniqueFd copy(openat(destination_.top(), entry.name.c_str(),
                               O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!copy.valid()) ThrowErrno("make file " + Printable(entry.path));
    copier_.Copy(source.get(), copy.get(), before.stx_size, entry.path);
    const struct statx after = StatEntry(source.get(), "", entry.path);
    if (VersionOf(after) != VersionOf(entry.info)) ThrowChanged(options_, entry.path);
    stats.attributes_left_out += CopyAttributes(source.get(), copy.get(), entry.info, entry.path);
    KeepFlags(source.get(), copy.get(), entry.path);
  }

  // Those that protect a file come at the very end: it may get more names, and a directory must be filled.
  void KeepFlags(int source_fd, int copy_fd, const std::string& path) {
    if (!options_.with_flags) return;
    const InodeFlags flags = ReadInodeFlags(source_fd);
    if (flags.protecting != 0) protections_.emplace_back(path, flags.protecting);
    if (flags.others != 0 && !AddInodeFlags(copy_fd, flags.others)) ++stats.attributes_left_out;
  }

  void CopyOther(const TreeEntry& entry) {
    const UniqueFd source = OpenEntry(entry.parent_fd, entry.name, O_PATH, entry.path);
    const struct statx before = StatEntry(source.get(), "", entry.path);
    if (KeyOf(before) != KeyOf(entry.info)) ThrowChanged(options_, entry.path);
    if (S_ISLNK(before.stx_mode)) {
      const std::string target = ReadLink(source.get(), before.stx_size, entry.path);
      CheckOn(entry.path, "make symlink",
              symlinkat(target.c_str(), destination_.top(), entry.name.c_str()));
    } else {
      const dev_t device = makedev(before.stx_rdev_major, before.stx_rdev_minor);
      const mode_t mode = (before.stx_mode & S_IFMT) | 0600;
      CheckOn(entry.path, "make special file",
              mknodat(destination_.top(), entry.name.c_str(), mode, device));
    }
    const UniqueFd copy = OpenEntry(destination_.top(), entry.name, O_PATH, entry.path);
    stats.attributes_left_out += CopyAttributes(source.get(), copy.get(), entry.info, entry.path);
  }

  static std::string ReadLink(int fd, uint64_t size, std::string_view path) {
    std::string target(std::max<uint64_t>(size, PATH_MAX) + 1, '\0');
    const ssize_t length =
        CheckOn(path, "read symlink", readlinkat(fd, "", target.data(), target.size()));
    target.resize(static_cast<size_t>(length));
    return target;
  }

  const ImportOptions& options_;
  int destination_fd_;
  DirectoryStack destination_;
  ContentCopier copier_;
  std::map<FileKey, Link> links_;
  std::vector<std::pair<std::string, uint32_t>> protections_;  // by path
  ImportProgress progress_;
  std::chrono::steady_clock::time_point reported_;
};

}  // namespace

ImportStats ImportTree(int source_fd, int destination_fd, const ImportOptions& options) {
  Survey survey(options, destination_fd);
  WalkTree(source_fd, survey);
  survey.Check();
  Failpoint("import.before-copy");

  Copy copy(options, survey, destination_fd);
  WalkTree(source_fd, copy);
  ImportStats stats = copy.Finish();
  Failpoint("import.after-copy");

  // Each file was compared right after its own copy; this finds later changes, and files that were created,
  // removed or moved.
  Recheck recheck;
  WalkTree(source_fd, recheck);
  if (recheck.digest.sum() != survey.digest.sum())
    ThrowChanged(options, recheck.digest.newest_path());
  return stats;
}

}  // namespace ckptfs
