// How many calls of the write barrier helper each workspace may have out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace ckptfs {

// A call that waits for a file's lock has a thread of the helper until the write that holds the lock
// has ended, and nobody can call it back. A user can write from memory that never comes (a mapping of a
// filesystem that does not answer), so some never end. This sees to it that they take up the threads
// of their own workspace: one has no more than `kOfOneMax` of them, and, where so many are out that
// little is left, half of what is left, but always `kOfOneMin`. A workspace needs no more than those: a
// call has come through as soon as it has the lock, and the next takes its place.
//
// All of them together are at most kOfAll, and kOfOneMin for each further workspace, until kCeiling: to
// get there takes 128 workspaces and more, which only who may make workspaces can have. (That much is a
// thousandth of what a busy machine has of threads, and 60 MiB.)
//
// For one thread at a time.
class BarrierShares {
 public:
  static constexpr size_t kOfOneMax = 64;
  static constexpr size_t kOfOneMin = 8;
  static constexpr size_t kOfAll = 1024;
  static constexpr size_t kCeiling = 2 * kOfAll;

  // False: it may have no further one now.
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
