// Keeps space free by removing checkpoints: space.min-free.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "fs/operations/cleanup.h"
#include "fs/operations/verbs.h"

namespace ckptfs {

// A workspace whose checkpoints may be removed while less is free than its space.min-free.
struct SpaceWish {
  CleanupRequest request;  // its rules do not matter
  Settings settings;
};

// While less is free than wanted, removes the oldest removable checkpoints, whichever workspace they belong to.
// After each removal it waits for the space to come back before it measures again. Used by one thread.
class SpaceKeeper {
 public:
  // Both must outlive this object. `stopping` ends a Look after its current removal.
  SpaceKeeper(Verbs& verbs, const std::atomic<bool>& stopping)
      : verbs_(verbs), stopping_(stopping) {}

  // Throws Error.
  void Look(const std::vector<SpaceWish>& wishes);

 private:
  struct Removable {
    int64_t snapshot_id = 0;
    int64_t created_ns = 0;
    uint64_t wanted_bytes = 0;  // by its workspace's setting
  };

  bool IsLookDue(const std::vector<SpaceWish>& wishes) const;
  std::vector<Removable> OldestFirst(const std::vector<SpaceWish>& wishes, uint64_t total) const;
  // Returns the number of removed checkpoints.
  size_t FreeSome(const std::vector<SpaceWish>& wishes, uint64_t total);
  void AwaitSpace() const;
  uint64_t FreeBytes() const { return verbs_.store().backend().Space().free_bytes; }
  void Tell(bool is_short, size_t removed);

  Verbs& verbs_;
  const std::atomic<bool>& stopping_;
  std::optional<int64_t> looked_up_ns_;
  bool told_shortage_ = false;
};

}  // namespace ckptfs
