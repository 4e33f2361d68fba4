// What is wrong with the storage below, and what can be done about it.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "backend/base/error.h"
#include "backend/btrfs/btrfs_backend.h"
#include "backend/btrfs/btrfs_util.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {
namespace {

// While the disk is full, data that is lost later may still find room: nothing is written out on purpose. But the
// kernel itself writes out what is older.
constexpr auto kWrittenOutAfter = std::chrono::seconds(30);

}  // namespace

BackendHealth BtrfsBackend::Health() const {
  BackendHealth health{.warnings = home_.warnings, .stopped = {}};
  const uint64_t damage = SubtractOrZero(CountDamage(home_.root.get()), damage_before_);
  if (damage > 0) {
    health.warnings.push_back(fmt::format(
        "Damage was found in the {} ({} times since the mount): who reads what is "
        "damaged gets an I/O error. The kernel's log (dmesg) names it; take it from an older "
        "snapshot, or delete it, and see to the disk.",
        home_.image.valid() ? "store's image" : "filesystem of the store", damage));
  }
  LookForLostWrites();
  return health;
}

void BtrfsBackend::LookForLostWrites() const {
  if (!lost_writes_) return;
  uint64_t suspicion =
      suspicions_ + SubtractOrZero(CountWriteErrors(home_.root.get()), write_errors_before_);
  auto full_since = DiskFullness::Clock::time_point::max();
  if (image_space_) {
    const DiskFullness& fullness = image_space_->LookAtDisk();
    suspicion += fullness.times();
    full_since = fullness.since();
  }
  const bool is_over = full_since == DiskFullness::Clock::time_point::max();
  if (!is_over && DiskFullness::Clock::now() < full_since + kWrittenOutAfter) return;
  lost_writes_->Look(suspicion, is_over);
}

void BtrfsBackend::SuspectLostWrites() noexcept {
  ++suspicions_;
  try {
    if (image_space_) image_space_->LookAtDisk();  // at the cause, which may soon be gone
  } catch (const Error& error) {
    spdlog::warn("{}", error.what());
  }
}

std::optional<StorageFailure> BtrfsBackend::Failure() const {
  if (is_read_only_) return std::nullopt;
  const char* name =
      home_.image.valid() ? "the filesystem in the store's image" : "the filesystem of the store";
  if (IsOnReadOnly(home_.root.get())) {
    const bool by_full_disk = image_space_ && image_space_->LookAtDisk().has_stopped_filesystem();
    return StorageFailure{
        .kind = StorageFailure::Kind::kReadOnly,
        .reason = fmt::format("{} has turned read-only, {}", name,
                              by_full_disk ? "as the disk below it was full"
                                           : "most likely after an error of its disk"),
        .remedy = fmt::format("{}, then unmount and mount again: what had been synced is there",
                              by_full_disk ? "Free space on that disk"
                                           : "See the kernel's log (dmesg) and to the disk")};
  }
  if (!lost_writes_ || !lost_writes_->found()) return std::nullopt;
  const bool was_full = image_space_ && image_space_->LookAtDisk().times() > 0;
  return StorageFailure{
      .kind = StorageFailure::Kind::kLostWrites,
      .reason = fmt::format(
          "{} has lost some of what programs wrote, {}", name,
          was_full ? "as the disk below it was full" : "most likely for an error of its disk"),
      .remedy = fmt::format(
          "{}; look at what was written since, and mount again, which ends this "
          "message",
          was_full ? "Free space on that disk" : "See the kernel's log (dmesg) and to the disk")};
}

}  // namespace ckptfs
