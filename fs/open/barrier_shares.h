// Limits how many calls of the write barrier's helper each workspace may have outstanding.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace ckptfs {

// A call that waits for a file's inode lock occupies a helper thread until the write that holds the lock
// ends, and it cannot be cancelled. A user can write from memory that never arrives (a mapping of a
// filesystem that does not answer), so some calls never end. This class confines them to their own
// workspace's share: a workspace gets at most `kOfOneMax` calls; when few are left in total, it gets half of
// what is left, but always `kOfOneMin`. That is enough for a workspace: a call completes as soon as it gets
// the lock, and the next one takes its place.
//
// The total is limited to kOfAll, plus kOfOneMin for each further workspace, up to kCeiling. Only 128 or more
// workspaces can reach kCeiling, and only a user who may create workspaces can have that many. (kCeiling is a
// thousandth of the threads that a busy machine has, and 60 MiB.)
//
// Used by one thread at a time.
class BarrierShares {
 public:
  static constexpr size_t kOfOneMax = 64;
  static constexpr size_t kOfOneMin = 8;
  static constexpr size_t kOfAll = 1024;
  static constexpr size_t kCeiling = 2 * kOfAll;

  // False: the workspace is at its limit.
  bool Take(int64_t workspace) {
    const auto mine = out_.find(workspace);
    const size_t left = kOfAll - std::min(total_, kOfAll);
    const size_t most = std::clamp(left / 2, kOfOneMin, kOfOneMax);
    if (total_ >= kCeiling || (mine != out_.end() && mine->second >= most)) return false;
    ++out_[workspace];
    ++total_;
    return true;
  }

  void GiveBack(int64_t workspace) {
    const auto mine = out_.find(workspace);
    if (mine == out_.end()) return;
    --total_;
    if (--mine->second == 0) out_.erase(mine);
  }

  size_t total() const noexcept { return total_; }

 private:
  std::unordered_map<int64_t, size_t> out_;  // by workspace
  size_t total_ = 0;
};

}  // namespace ckptfs
