#include "catalog/store/lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "backend/base/error.h"
#include "backend/base/store_file.h"

namespace ckptfs {
namespace {

constexpr int kMaxAttempts = 100;

std::string FirstBytes(int fd) {
  std::array<char, 32> text{};
  const ssize_t size = pread(fd, text.data(), text.size(), 0);
  return size < 0 ? std::string() : std::string(text.data(), static_cast<size_t>(size));
}

bool IsNumberLine(const std::string& text) {
  return text.size() >= 2 && text.back() == '\n' &&
         text.find_first_not_of("0123456789") == text.size() - 1;
}

[[noreturn]] void ThrowBusy(int fd) {
  std::string pid = FirstBytes(fd);
  const bool known = IsNumberLine(pid);
  if (known) pid.pop_back();
  throw Error(
      EBUSY, "lock the store",
      known ? fmt::format("process {} has it mounted", pid) : "another process is just mounting it",
      "Unmount it there first");
}

}  // namespace

StoreLock::StoreLock(int store_fd, bool read_only) : store_fd_(store_fd), read_only_(read_only) {
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    if (TryTake()) return;
  }
  throw Error(EBUSY, "lock the store", "other processes keep mounting and unmounting it");
}

UniqueFd StoreLock::OpenFile(bool& made, bool& again) const {
  constexpr int kNewFlags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  UniqueFd file(openat(store_fd_, kFileName, kNewFlags, 0600));
  made = file.valid();
  if (made) return file;
  if (errno == EEXIST) file = TryOpenStoreFile(store_fd_, kFileName, O_RDWR);
  if (file.valid()) return file;
  const int error = errno;
  if (error == EUCLEAN) {
    throw Error(EUCLEAN, "lock the store", StoreFileOddity(store_fd_, kFileName),
                fmt::format("Remove {} from the store's directory", kFileName));
  }
  again = error == ENOENT;
  if (again) return file;
  if (!read_only_) {
    throw Error(
        error, "lock the store", {},
        error == EROFS ? "Its filesystem must be writable; to read what is in it: -o ro" : "");
  }
  // A leftover file. flock(2) needs no write permission.
  file = TryOpenStoreFile(store_fd_, kFileName, O_RDONLY);
  if (!file.valid() && errno != ENOENT) ThrowErrno("lock the store");
  return file;
}

void StoreLock::LockDirectory() {
  // Opened anew: file descriptors of one open file description share the lock.
  UniqueFd directory(openat(store_fd_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.valid() && flock(directory.get(), LOCK_EX | LOCK_NB) == 0) {
    directory_ = std::move(directory);
    return;
  }
  if (errno == EWOULDBLOCK) {
    throw Error(EBUSY, "lock the store", "another process has it mounted read-only",
                "Unmount it there first");
  }
  if (!file_.valid()) ThrowErrno("lock the store's directory");
}

// One attempt. False if the file was removed between open and flock, by a clean stop of its holder: nobody
// else would see a lock on that file.
bool StoreLock::TryTake() {
  bool made = false;
  bool again = false;
  UniqueFd file = OpenFile(made, again);
  if (again) return false;
  if (file.valid()) {
    if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) ThrowBusy(file.get());
      ThrowErrno("lock the store");
    }
    struct stat held {};
    struct stat named {};
    CheckSyscall(fstat(file.get(), &held), "stat the store's lock");
    const int found = fstatat(store_fd_, kFileName, &named, AT_SYMLINK_NOFOLLOW);
    if (found != 0 || held.st_ino != named.st_ino || held.st_dev != named.st_dev) return false;
    was_left_behind_ = !made;
  }
  file_ = std::move(file);
  try {
    LockDirectory();
  } catch (...) {
    if (made) unlinkat(store_fd_, kFileName, 0);
    throw;
  }
  if (file_.valid()) WritePid();
  return true;
}

void StoreLock::WritePid() const {
  const std::string pid = fmt::format("{}\n", getpid());
  const bool written =
      ftruncate(file_.get(), 0) == 0 &&
      pwrite(file_.get(), pid.data(), pid.size(), 0) == static_cast<ssize_t>(pid.size());
  // The lock works without the PID, which is only for people: a full disk must not prevent mounting and
  // deleting.
  if (!written) spdlog::warn("cannot write the PID to the store's lock: {}", std::strerror(errno));
}

StoreLock::~StoreLock() {
  // Before the file: a process that takes the file must not find the directory still locked.
  directory_.Reset();
  if (keep_ || !file_.valid()) return;
  // Removed while still locked: a process that opened it before and locks it after sees that the name is gone
  // or belongs to another file, and tries again.
  if (unlinkat(store_fd_, kFileName, 0) != 0) {
    spdlog::error("remove the store's lock: {}", std::strerror(errno));
  }
}

std::optional<pid_t> StoreLock::Holder(const std::string& store_path) {
  const UniqueFd store(open(store_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd file = TryOpenStoreFile(store.get(), kFileName, O_RDONLY);
  if (!file.valid() || flock(file.get(), LOCK_SH | LOCK_NB) == 0) return std::nullopt;
  const std::string pid = FirstBytes(file.get());
  if (!IsNumberLine(pid)) return std::nullopt;
  return static_cast<pid_t>(std::strtol(pid.c_str(), nullptr, 10));
}

bool LooksLikeStoreLock(int store_fd) {
  const UniqueFd file = TryOpenStoreFile(store_fd, StoreLock::kFileName, O_RDONLY);
  return file.valid() && IsNumberLine(FirstBytes(file.get()));
}

}  // namespace ckptfs
