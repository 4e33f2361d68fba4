#include "backend/base/partial_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/store_file.h"
#include "backend/base/warning.h"

namespace ckptfs {
namespace {

// The name without the suffix; empty if that is not ours.
std::string_view OwnNameOf(std::string_view name, const IsOwnName& is_own) {
  if (!name.ends_with(kPartialSuffix)) return {};
  name.remove_suffix(kPartialSuffix.size());
  return is_own(name) ? name : std::string_view();
}

// Locked, so that nobody can begin to write it; others may look at it meanwhile. Not valid if it is no file,
// or being written.
UniqueFd LockUnfinished(int directory_fd, const std::string& name) {
  UniqueFd fd = TryOpenStoreFile(directory_fd, name, O_RDONLY);
  if (fd.valid() && flock(fd.get(), LOCK_SH | LOCK_NB) != 0) fd.Reset();
  return fd;
}

}  // namespace

PartialFile::PartialFile(int directory_fd, std::string name)
    : directory_fd_(directory_fd),
      name_(std::move(name)),
      partial_name_(name_ + std::string(kPartialSuffix)) {
  // Between its creation and the mark it looks like one that nobody finishes, and may be removed as that.
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    if (unlinkat(directory_fd_, partial_name_.c_str(), 0) != 0 && errno != ENOENT) {
      ThrowErrno("remove an unfinished " + partial_name_);
    }
    fd_.Reset(openat(directory_fd_, partial_name_.c_str(),
                     O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd_.valid()) ThrowErrno(fmt::format("make {} in the store's directory", name_));
    MarkBeingWritten(fd_.get());
    struct stat status {};
    CheckSyscall(fstat(fd_.get(), &status), "stat " + partial_name_);
    if (status.st_nlink != 0) return;
  }
  throw Error(EBUSY, fmt::format("make {} in the store's directory", name_), "it was removed");
}

PartialFile::~PartialFile() {
  if (kept_ || unlinkat(directory_fd_, partial_name_.c_str(), 0) == 0) return;
  Warn(fmt::format("remove an unfinished {}: {}", partial_name_, std::strerror(errno)));
}

void PartialFile::Write(std::string_view text) {
  const std::string attempted = "write " + name_;
  const ssize_t written = CheckSyscall(write(fd_.get(), text.data(), text.size()), attempted);
  if (static_cast<size_t>(written) != text.size()) throw Error(ENOSPC, attempted);
}

void PartialFile::Keep(std::string_view failpoint) {
  CheckSyscall(fsync(fd_.get()), "write " + name_);
  CheckSyscall(renameat2(directory_fd_, partial_name_.c_str(), directory_fd_, name_.c_str(),
                         RENAME_NOREPLACE),
               fmt::format("give the new file its name {}", name_));
  kept_ = true;
  if (!failpoint.empty()) Failpoint(failpoint);
  CheckSyscall(fsync(directory_fd_), fmt::format("make the name {} durable", name_));
}

void RemovePartialFiles(int directory_fd, const IsOwnName& is_own) {
  for (const std::string& name : ReadDirectory(directory_fd)) {
    if (OwnNameOf(name, is_own).empty()) continue;
    CheckSyscall(unlinkat(directory_fd, name.c_str(), 0), "remove an unfinished " + name);
  }
}

// Waits at most for somebody who is just looking. Where files cannot be locked, none is ever found unfinished.
void MarkBeingWritten(int fd) noexcept {
  while (flock(fd, LOCK_EX) != 0 && errno == EINTR) {
  }
}

std::optional<UnfinishedFile> FindUnfinishedFile(int directory_fd, const std::string& name) {
  const UniqueFd fd = LockUnfinished(directory_fd, name);
  struct stat status {};
  if (!fd.valid() || fstat(fd.get(), &status) != 0) return std::nullopt;
  constexpr uint64_t kStatBlockBytes = 512;
  return UnfinishedFile{
      .name = name,
      .bytes = static_cast<uint64_t>(status.st_blocks) * kStatBlockBytes,
      .changed_ns = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

std::vector<UnfinishedFile> FindPartialFiles(int directory_fd, const IsOwnName& is_own) {
  std::vector<UnfinishedFile> found;
  for (const std::string& name : ReadDirectory(directory_fd)) {
    if (OwnNameOf(name, is_own).empty()) continue;
    if (auto file = FindUnfinishedFile(directory_fd, name)) found.push_back(*std::move(file));
  }
  return found;
}

bool RemoveUnfinishedFile(int directory_fd, const std::string& name) {
  const UniqueFd locked = LockUnfinished(directory_fd, name);
  if (!locked.valid()) return false;
  if (unlinkat(directory_fd, name.c_str(), 0) == 0) return true;
  if (errno == ENOENT) return false;  // somebody else was faster
  ThrowErrno("remove " + name);
}

}  // namespace ckptfs
