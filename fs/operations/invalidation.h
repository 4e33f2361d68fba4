// How the kernel is told that what it has cached has changed.
#pragma once

#include <atomic>
#include <cstdint>

#include "backend/base/elastic_pool.h"
#include "fs/nodes/kernel_cache.h"
#include "fs/nodes/kernel_invalidator.h"
#include "fs/nodes/stale_names.h"
#include "fs/nodes/views.h"
#include "fs/open/mount_helper.h"

namespace ckptfs {

// Owned by the mount; outlives every request. All members are thread-safe.
struct Invalidation {
  Invalidation(KernelCache& kernel_in, MountHelper& helper_in, SlotTable& slots)
      : kernel(kernel_in), helper(helper_in), stale_names(kernel, slots), invalidator(kernel) {}

  KernelCache& kernel;
  MountHelper& helper;  // looks up names through the mount, as the daemon itself must not
  StaleNames stale_names;
  // Counts switches of live trees to another volume; incremented after each switch.
  std::atomic<uint64_t> switches{0};
  std::atomic<int> stopped_walks{0};  // LiveWorkspace::WalkStop
  // The members below have threads.
  KernelInvalidator invalidator;
  ElasticPool settlers;  // for SettlingNames
};

}  // namespace ckptfs
