// Long work, cut into short pieces.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>

#include "backend/base/right_of_way.h"

namespace ckptfs {

// How much of a file a call changes, or hands to the disk, before it lets a checkpoint through the freeze lock and
// others' checkpoints go first. What that takes depends on how scattered the file is (a MiB in blocks of 4 KiB
// takes btrfs as long as a GiB in one), which nobody knows before: so each piece is measured, and the next one
// made to take a few milliseconds. For one call, on one thread.
class Pieces {
 public:
  static constexpr off_t kFirstBytes = off_t{4} << 20;

  // Null: others wait for this work itself, and it gives way to nobody. Nor does what takes no longer than
  // a piece.
  explicit Pieces(RightOfWay* way) : way_(way) {}

  off_t bytes() const noexcept { return bytes_; }
  // It has taken much longer than a piece.
  bool is_long() const noexcept { return worked_ > 2 * kLong; }

  // Does one piece. Whoever calls has passed no freeze lock.
  template <typename Piece>
  void Do(const Piece& piece) {
    // Checkpoints without end leave it half of the time.
    if (way_ != nullptr && worked_ > kLong) waited_ += way_->GiveWay(worked_ - waited_);
    const auto begin = std::chrono::steady_clock::now();
    piece();
    const auto took = std::chrono::steady_clock::now() - begin;
    worked_ += took;
    if (took > kLong) {
      bytes_ = std::max(bytes_ / 2, kBytesMin);
    } else if (took < kLong / 4) {
      bytes_ = std::min(bytes_ * 2, kBytesMax);
    }
  }

 private:
  static constexpr std::chrono::milliseconds kLong{4};
  static constexpr off_t kBytesMin = off_t{128} << 10;
  static constexpr off_t kBytesMax = off_t{256} << 20;

  RightOfWay* const way_;
  off_t bytes_ = kFirstBytes;
  RightOfWay::Clock::duration worked_{};
  RightOfWay::Clock::duration waited_{};
};

}  // namespace ckptfs
