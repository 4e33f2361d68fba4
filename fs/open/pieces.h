// Splits long work into short pieces.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>

#include "backend/base/right_of_way.h"

namespace ckptfs {

// How much of a file a call changes or flushes before it lets a checkpoint pass the freeze lock and yields to
// checkpoints of other workspaces. The time needed depends on how fragmented the file is (a MiB in blocks of
// 4 KiB takes btrfs as long as a GiB in one), which is not known in advance: so each piece is timed, and the
// next one sized to take a few milliseconds. For one call, on one thread.
class Pieces {
 public:
  static constexpr off_t kFirstBytes = off_t{4} << 20;

  // Null: others wait for this work itself, so it does not yield. Work no longer than one piece does not
  // yield either.
  explicit Pieces(RightOfWay* way) : way_(way) {}

  off_t bytes() const noexcept { return bytes_; }
  // The work has taken much longer than a piece.
  bool is_long() const noexcept { return worked_ > 2 * kLong; }

  // Does one piece. The caller holds no freeze lock.
  template <typename Piece>
  void Do(const Piece& piece) {
    // Under a constant load of checkpoints it still gets half of the time.
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
