// The guard that everything new passes: whether there is space for it; and what is wrong with the storage.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/units.h"
#include "backend/interface/await_reclaimed.h"
#include "backend/mount/disk_space.h"
#include "catalog/policies/space_guard.h"
#include "catalog/store/garbage.h"
#include "catalog/store/store_context.h"

namespace ckptfs {
namespace {

// How long something new waits for the space of destroyed volumes.
constexpr std::chrono::seconds kFreeingWait{5};
constexpr std::chrono::milliseconds kFreeingPauseMax{50};
constexpr std::chrono::seconds kCollectionInterval{10};
// Of an overcommitted disk, the part below which that is worth a warning.
constexpr uint64_t kOvercommittedDivisor = 5;

using Levels = std::vector<SpaceLevel>;

SpaceFloors FloorsOf(const SpaceLevel& level) {
  if (!level.is_metadata) return FloorsOfDisk(level.total_bytes, level.metadata_bytes);
  return {.hard_bytes = level.metadata_bytes, .soft_bytes = level.metadata_bytes};
}

SpaceVerdict Judge(const SpaceLevel& level) {
  return JudgeSpace(level.free_bytes, level.total_bytes, FloorsOf(level));
}

bool IsShort(const SpaceLevel& level) { return Judge(level) == SpaceVerdict::kShort; }

bool HasShort(const Levels& levels) { return std::any_of(levels.begin(), levels.end(), IsShort); }

// If the last run was a moment ago, another one would find nothing.
void CollectGarbageOnce(StoreContext& store) {
  const auto now = std::chrono::steady_clock::now();
  auto next = store.next_collection.load();
  if (now < next || !store.next_collection.compare_exchange_strong(next, now + kCollectionInterval))
    return;
  const GarbageTotal total = CollectGarbage(store, {.is_automatic = true});
  if (total.removed > 0) spdlog::info("removed {} things that nothing refers to", total.removed);
}

// Frees what can be freed at once, until `levels` has nothing short or nothing is left to free: garbage, and the
// space of volumes that are destroyed, but still on disk.
void FreeUntilEnough(StoreContext& store, Levels& levels) {
  CollectGarbageOnce(store);
  const auto is_short = [&] {
    levels = store.backend->SpaceLevels();
    return HasShort(levels);
  };
  AwaitReclaimed(*store.backend, kFreeingWait, kFreeingPauseMax, is_short);
  levels = store.backend->SpaceLevels();
}

// The present levels, after freeing what helps if one is short. Empty if they cannot be read.
Levels LookAndFree(StoreContext& store) {
  Levels levels;
  try {
    Failpoint("space.read");
    levels = store.backend->SpaceLevels();
    if (HasShort(levels)) FreeUntilEnough(store, levels);
  } catch (const Error& error) {
    spdlog::warn("look for free space: {}", error.what());
  }
  return levels;
}

// Empty: there is nothing to say about it.
std::string WarningAbout(const SpaceLevel& level) {
  const SpaceVerdict verdict = Judge(level);
  const bool is_overcommitted =
      level.is_overcommitted && level.free_bytes < level.total_bytes / kOvercommittedDivisor;
  if (verdict == SpaceVerdict::kEnough && !is_overcommitted) return {};
  const char* consequence = verdict == SpaceVerdict::kShort ? ", too little for anything new"
                            : is_overcommitted              ? ", less than the image may still want"
                                                            : "";
  return fmt::format("{} has {} MiB left{}. {}.", Capitalised(level.name), level.free_bytes / kMiB,
                     consequence, level.remedy);
}

std::vector<std::string> WarningsAbout(const Levels& levels) {
  std::vector<std::string> warnings;
  for (const SpaceLevel& level : levels) {
    if (std::string warning = WarningAbout(level); !warning.empty()) {
      warnings.push_back(std::move(warning));
    }
  }
  return warnings;
}

// Whoever takes space by mkdir hears of it only in the log: there, once.
void LogIfNew(StoreContext& store, const std::vector<std::string>& warnings) {
  if (store.space_was_low.exchange(!warnings.empty()) || warnings.empty()) return;
  for (const std::string& warning : warnings) spdlog::warn("{}", warning);
}

}  // namespace

void RequireSpace(StoreContext& store, std::string_view attempted) {
  const Levels levels = LookAndFree(store);
  const auto level = std::find_if(levels.begin(), levels.end(), IsShort);
  if (level != levels.end()) {
    throw Error(ENOSPC, attempted,
                DescribeShortage(level->name, level->free_bytes, FloorsOf(*level).hard_bytes),
                level->remedy);
  }
  const std::vector<std::string> warnings = WarningsAbout(levels);
  LogIfNew(store, warnings);
  if (warnings.empty() && store.reserve_is_out.exchange(false)) store.MakeReserve();
}

std::vector<std::string> SpaceWarnings(const StoreContext& store) {
  try {
    Failpoint("space.read");
    return WarningsAbout(store.backend->SpaceLevels());
  } catch (const Error& error) {
    return {
        fmt::format("The free space cannot be read, so nothing stops what takes more than "
                    "there is ({}).",
                    error.what())};
  }
}

std::optional<StorageFailure> StoreContext::Failure() const {
  if (options.read_only || !backend) return std::nullopt;
  if (std::optional<StorageFailure> failure = backend->Failure()) return failure;
  if (!IsOnReadOnly(directory.get())) return std::nullopt;
  return StorageFailure{
      .kind = StorageFailure::Kind::kReadOnly,
      .reason = "the filesystem of the store's directory has turned read-only",
      .remedy =
          "See the kernel's log (dmesg); when its disk is well, make it writable again "
          "(mount -o remount,rw), or unmount all and mount again"};
}

std::vector<std::string> Store::SpaceWarnings() const { return ckptfs::SpaceWarnings(*impl_); }

std::optional<StorageFailure> Store::Failure() const { return impl_->Failure(); }

}  // namespace ckptfs
