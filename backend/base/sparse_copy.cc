#include "backend/base/sparse_copy.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr char kCopying[] = "copy a file";

void Transfer(int source_fd, int target_fd, off_t begin, off_t end) {
  constexpr off_t kAtOnce = off_t{1} << 20;
  std::vector<char> buffer(kAtOnce);
  for (off_t offset = begin; offset < end;) {
    const auto wanted = static_cast<size_t>(std::min(kAtOnce, end - offset));
    const ssize_t got = CheckSyscall(pread(source_fd, buffer.data(), wanted, offset), kCopying);
    if (got == 0) throw Error(EIO, kCopying, "it became shorter meanwhile");
    const ssize_t written =
        CheckSyscall(pwrite(target_fd, buffer.data(), static_cast<size_t>(got), offset), kCopying);
    if (written == 0) throw Error(ENOSPC, kCopying);
    offset += written;
  }
}

void CopyPart(int source_fd, int target_fd, off_t begin, off_t end) {
  off_t from = begin;
  off_t to = begin;
  while (from < end) {
    const ssize_t copied =
        copy_file_range(source_fd, &from, target_fd, &to, static_cast<size_t>(end - from), 0);
    // Not possible between every pair of filesystems.
    if (copied < 0 && (errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL)) {
      Transfer(source_fd, target_fd, from, end);
      return;
    }
    if (CheckSyscall(copied, kCopying) == 0) {
      throw Error(EIO, kCopying, "it became shorter meanwhile");
    }
  }
}

struct Part {
  off_t begin;
  off_t end;
};

std::vector<Part> PartsWithData(int fd) {
  constexpr char kLooking[] = "find the data of a file";
  std::vector<Part> parts;
  for (off_t at = 0;;) {
    const off_t begin = lseek(fd, at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) return parts;  // a hole up to the end
    CheckSyscall(begin, kLooking);
    at = CheckSyscall(lseek(fd, begin, SEEK_HOLE), kLooking);
    parts.push_back({.begin = begin, .end = at});
  }
}

}  // namespace

// All parts are found before the first is read: what the kernel reads ahead, it takes for data afterwards, even
// where the blocks are only allocated.
void CopySparse(int source_fd, int target_fd) {
  if (ioctl(target_fd, FICLONE, source_fd) == 0) return;
  if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOTTY && errno != EXDEV) {
    ThrowErrno("copy a file by reference");
  }
  struct stat source {};
  CheckSyscall(fstat(source_fd, &source), "copy a file");
  CheckSyscall(ftruncate(target_fd, source.st_size), "copy a file");
  for (const Part& part : PartsWithData(source_fd)) {
    CopyPart(source_fd, target_fd, part.begin, part.end);
  }
}

}  // namespace ckptfs
