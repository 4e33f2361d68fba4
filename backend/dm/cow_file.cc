#include "backend/dm/cow_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr uint64_t kExceptionBytes = 16;  // old chunk and new chunk

constexpr uint64_t DivideRoundingUp(uint64_t value, uint64_t by) { return (value + by - 1) / by; }

}  // namespace

uint64_t CowFileBytes(uint64_t base_bytes) {
  constexpr uint64_t kPerChunk = kCowChunkBytes / kExceptionBytes;
  const uint64_t chunks = DivideRoundingUp(base_bytes, kCowChunkBytes);
  // The last +1: the kernel clears the next table before it uses up this one.
  return (1 + chunks + DivideRoundingUp(chunks, kPerChunk) + 1) * kCowChunkBytes;
}

UniqueFd MakeCowFile(int directory_fd, const std::string& name, uint64_t bytes) {
  const std::string attempted = fmt::format("make the CoW file {}", name);
  UniqueFd fd(CheckSyscall(
      openat(directory_fd, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600),
      attempted));
  CheckSyscall(ftruncate(fd.get(), static_cast<off_t>(bytes)), attempted);
  return fd;
}

}  // namespace ckptfs
