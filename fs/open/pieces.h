// Long work inside a gate, cut into short pieces.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>

namespace ckptfs {

// How much of a file a call changes before it lets a checkpoint through the gate. What that takes depends on
// how scattered the file is (a MiB in blocks of 4 KiB takes btrfs as long as a GiB in one), which nobody
// knows before: so each piece is measured, and the next one made to take a few milliseconds. For one call,
// on one thread.
class Pieces {
 public:
  static constexpr off_t kFirstBytes = off_t{4} << 20;

  off_t bytes() const noexcept { return bytes_; }

  // Does one piece.
  template <typename Piece>
  void Do(const Piece& piece) {
    const auto begin = std::chrono::steady_clock::now();
    piece();
    const auto took = std::chrono::steady_clock::now() - begin;
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

  off_t bytes_ = kFirstBytes;
};

}  // namespace ckptfs
