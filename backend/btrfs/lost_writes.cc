#include "backend/btrfs/lost_writes.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr std::chrono::seconds kInterval{5};

}  // namespace

LostWrites::LostWrites(int root_fd)
    : fd_(CheckSyscall(openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                       "open the root of the store's filesystem")) {}

void LostWrites::Look(uint64_t suspicion, bool is_over) noexcept {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;  // on a disk that hangs, one caller waits and not all
  const auto now = std::chrono::steady_clock::now();
  if (suspicion == settled_ || (!is_over && now < next_)) return;
  next_ = now + kInterval;
  if (is_over) settled_ = suspicion;
  if (syncfs(fd_.get()) == 0 || (errno != EIO && errno != ENOSPC)) return;
  if (!found_.exchange(true)) spdlog::error("data that programs wrote is lost");
}

}  // namespace ckptfs
