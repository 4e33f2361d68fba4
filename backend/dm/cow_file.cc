#include "backend/dm/cow_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/dm/device_mapper.h"

namespace ckptfs {
namespace {

constexpr uint64_t kChunkBytes = kCowChunkSectors * kDmSectorBytes;
constexpr uint64_t kExceptionBytes = 16;  // old chunk and new chunk

constexpr uint64_t DivideRoundingUp(uint64_t value, uint64_t by) { return (value + by - 1) / by; }

void CopyPart(int source_fd, int target_fd, off_t begin, off_t end) {
  off_t from = begin;
  off_t to = begin;
  while (from < end) {
    const ssize_t copied = CheckSyscall(
        copy_file_range(source_fd, &from, target_fd, &to, static_cast<size_t>(end - from), 0),
        "copy a CoW file");
    if (copied == 0) throw Error(EIO, "copy a CoW file", "it became shorter meanwhile");
  }
}

}  // namespace

uint64_t CowFileBytes(uint64_t base_bytes) {
  constexpr uint64_t kExceptionsPerChunk = kChunkBytes / kExceptionBytes;
  const uint64_t chunks = DivideRoundingUp(base_bytes, kChunkBytes);
  // The last one: the kernel clears the next table before it uses up this one.
  return (1 + chunks + DivideRoundingUp(chunks, kExceptionsPerChunk) + 1) * kChunkBytes;
}

UniqueFd MakeCowFile(int directory_fd, const std::string& name, uint64_t bytes) {
  const std::string attempted = fmt::format("make the CoW file {}", name);
  UniqueFd fd(CheckSyscall(
      openat(directory_fd, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600),
      attempted));
  CheckSyscall(ftruncate(fd.get(), static_cast<off_t>(bytes)), attempted);
  return fd;
}

void CopyCowFile(int source_fd, int target_fd) {
  if (ioctl(target_fd, FICLONE, source_fd) == 0) return;
  if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOTTY && errno != EXDEV) {
    ThrowErrno("copy a CoW file by reference");
  }
  struct stat source {};
  CheckSyscall(fstat(source_fd, &source), "copy a CoW file");
  CheckSyscall(ftruncate(target_fd, source.st_size), "copy a CoW file");
  off_t begin = 0;
  while (true) {
    begin = lseek(source_fd, begin, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) return;  // a hole up to the end
    CheckSyscall(begin, "find the data of a CoW file");
    const off_t end =
        CheckSyscall(lseek(source_fd, begin, SEEK_HOLE), "find the data of a CoW file");
    CopyPart(source_fd, target_fd, begin, end);
    begin = end;
  }
}

}  // namespace ckptfs
