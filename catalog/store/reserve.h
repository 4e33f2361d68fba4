// Room for the catalog on a disk that is full.
#pragma once

#include <cstdint>

namespace ckptfs {

// A few preallocated MiB in the store's directory, given up when the catalog finds its disk full
// while it deletes: without it nothing could be deleted there any more. Made again at a later
// start. Failures are logged and otherwise ignored: this is a precaution. Any thread may call.
class SpaceReserve {
 public:
  static constexpr char kFileName[] = "reserve";
  static constexpr int64_t kBytes = int64_t{4} << 20;

  explicit SpaceReserve(int store_fd) : store_fd_(store_fd) {}
  void Make() const noexcept;
  // True if there was something to give up.
  bool Release() const noexcept;

 private:
  int store_fd_;
};

}  // namespace ckptfs
