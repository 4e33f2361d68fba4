#include "catalog/store/reserve.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "backend/base/store_file.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {

void SpaceReserve::Make() const noexcept {
  UniqueFd file = TryOpenStoreFile(store_fd_, kFileName, O_RDWR);
  if (!file.valid() && errno == ENOENT) file = ReplaceStoreFile(store_fd_, kFileName);
  struct stat status {};
  if (!file.valid() || fstat(file.get(), &status) != 0) {
    spdlog::warn("make the catalog's reserve of space: {}", std::strerror(errno));
    return;
  }
  if (int64_t{status.st_blocks} * 512 >= kBytes) return;
  if (fallocate(file.get(), 0, 0, kBytes) == 0) return;
  if (errno != EOPNOTSUPP) {
    spdlog::warn("make the catalog's reserve of space: {}", std::strerror(errno));
  }
  // Half a reserve would only use up scarce space.
  if (ftruncate(file.get(), 0) != 0) spdlog::debug("empty the reserve: {}", std::strerror(errno));
}

bool SpaceReserve::Release() const noexcept {
  const UniqueFd file = TryOpenStoreFile(store_fd_, kFileName, O_RDWR);
  struct stat status {};
  if (!file.valid() || fstat(file.get(), &status) != 0 || status.st_blocks == 0) return false;
  if (ftruncate(file.get(), 0) != 0) return false;
  spdlog::warn("the catalog's disk is full: its reserve of {} MiB is given up", kBytes >> 20);
  return true;
}

}  // namespace ckptfs
