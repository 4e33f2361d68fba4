// Files that can be written when the disk is full.
#pragma once

#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {

// A few files of kBytes each, without a name, whose blocks are allocated already. On a disk that programs have
// filled to its last block, a sidecar that is written into one needs no further block of data; linkat(2) gives it
// its name. Other files take such a block as soon as something frees it, these keep theirs. Thread-safe.
class SpareFiles {
 public:
  static constexpr size_t kBytes = size_t{8} << 10;

  // In the directory `directory_fd`, which is borrowed. Where there is no space, or the filesystem cannot do this,
  // there are fewer, or none.
  explicit SpareFiles(int directory_fd);

  // Not valid if none is left. At most kBytes can be written to it for sure.
  UniqueFd Take() noexcept;
  // Makes up for those taken, as far as possible.
  void Refill() noexcept;

 private:
  const int directory_fd_;
  Mutex mutex_;
  std::vector<UniqueFd> files_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
