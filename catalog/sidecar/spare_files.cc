#include "catalog/sidecar/spare_files.h"

#include <fcntl.h>

#include <utility>

#include "backend/base/open_beneath.h"

namespace ckptfs {
namespace {

// A rollback writes one at once, and some soon after it, which free as many.
constexpr size_t kFiles = 16;

// Not valid if it cannot be had.
UniqueFd MakeSpare(int directory_fd) {
  UniqueFd file = OpenBeneath(directory_fd, ".", O_WRONLY | O_TMPFILE, 0600);
  // Beyond its end, so that it is as long as what is written to it.
  const bool has_blocks =
      file.valid() && fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 0, off_t{SpareFiles::kBytes}) == 0;
  return has_blocks ? std::move(file) : UniqueFd();
}

}  // namespace

SpareFiles::SpareFiles(int directory_fd) : directory_fd_(directory_fd) {
  files_.reserve(kFiles);
  Refill();
}

UniqueFd SpareFiles::Take() noexcept {
  const MutexLock lock(mutex_);
  if (files_.empty()) return {};
  UniqueFd file = std::move(files_.back());
  files_.pop_back();
  return file;
}

void SpareFiles::Refill() noexcept {
  const MutexLock lock(mutex_);
  while (files_.size() < kFiles) {
    UniqueFd file = MakeSpare(directory_fd_);
    if (!file.valid()) return;
    files_.push_back(std::move(file));
  }
}

}  // namespace ckptfs
