#include "catalog/store/reserve.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "backend/base/directory.h"
#include "backend/base/store_file.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {
namespace {

// Without a valid header, SQLite takes a WAL for empty (sqlite.org/fileformat2.html, 4.1).
constexpr size_t kLogHeaderBytes = 32;
// Larger than any WAL of ours, and than any file that we made a reserve of: it is left alone.
constexpr uint64_t kLogBytesMax = uint64_t{64} << 20;

void LogFailure(const char* attempted) { spdlog::warn("{}: {}", attempted, std::strerror(errno)); }

}  // namespace

// Also true if that is unknown: a WAL that may be there is left alone.
bool SpaceReserve::MayExist(const std::string& name) const noexcept {
  try {
    return HasEntry(store_fd_, name);
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
    return true;
  }
}

bool SpaceReserve::Make() const noexcept {
  UniqueFd file = TryOpenStoreFile(store_fd_, kFileName, O_RDWR);
  if (!file.valid() && errno == ENOENT) file = ReplaceStoreFile(store_fd_, kFileName);
  struct stat status {};
  if (!file.valid() || fstat(file.get(), &status) != 0) {
    LogFailure("make the catalog's reserve of space");
    return false;
  }
  if (int64_t{status.st_blocks} * 512 >= kBytes) return true;
  if (fallocate(file.get(), 0, 0, kBytes) == 0) return true;
  if (errno != EOPNOTSUPP) LogFailure("make the catalog's reserve of space");
  // Half a reserve would only use up scarce space.
  if (ftruncate(file.get(), 0) != 0) spdlog::debug("empty the reserve: {}", std::strerror(errno));
  return false;
}

bool SpaceReserve::Release() const noexcept {
  const UniqueFd file = TryOpenStoreFile(store_fd_, kFileName, O_RDWR);
  struct stat status {};
  if (!file.valid() || fstat(file.get(), &status) != 0 || status.st_blocks == 0) return false;
  if (ftruncate(file.get(), 0) != 0) return false;
  spdlog::warn("the catalog's disk is full: its reserve of {} MiB is given up", kBytes >> 20);
  return true;
}

// Durable on return: after a power failure, an old WAL beside a newer catalog.db would be taken for that one's.
bool SpaceReserve::InvalidateLog(const char* name) const noexcept {
  const UniqueFd file = TryOpenStoreFile(store_fd_, name, O_RDWR, kLogBytesMax);
  if (!file.valid()) return false;
  std::array<char, kLogHeaderBytes> header{};
  const ssize_t length = pread(file.get(), header.data(), header.size(), 0);
  if (length < 0) return false;
  if (std::all_of(header.begin(), header.end(), [](char c) { return c == 0; })) return true;
  header.fill(0);
  return pwrite(file.get(), header.data(), static_cast<size_t>(length), 0) == length &&
         fdatasync(file.get()) == 0;
}

bool SpaceReserve::BecomeLog(const std::string& log_name) const noexcept {
  unlinkat(store_fd_, kHeldLogName, 0);
  if (MayExist(log_name) || !InvalidateLog(kFileName)) return false;
  if (renameat2(store_fd_, kFileName, store_fd_, log_name.c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  LogFailure("use the catalog's reserve for its log");
  return false;
}

void SpaceReserve::HoldLog(const std::string& log_name) const noexcept {
  struct stat status {};
  if (fstatat(store_fd_, kFileName, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_blocks > 0)
    return;
  unlinkat(store_fd_, kHeldLogName, 0);
  if (linkat(store_fd_, log_name.c_str(), store_fd_, kHeldLogName, 0) != 0) {
    LogFailure("keep the blocks of the catalog's log");
  }
}

// A held WAL that still has its own name is in use: only the second name goes.
void SpaceReserve::TakeHeldLog(const std::string& log_name) const noexcept {
  if (!MayExist(kHeldLogName)) return;
  if (!MayExist(log_name) && InvalidateLog(kHeldLogName) &&
      renameat(store_fd_, kHeldLogName, store_fd_, kFileName) == 0) {
    return;
  }
  unlinkat(store_fd_, kHeldLogName, 0);
}

}  // namespace ckptfs
