// Reserved space for the catalog on a full disk.
#pragma once

#include <cstdint>

namespace ckptfs {

// A few preallocated MiB in the store's directory. They are released when the catalog finds its disk full
// during a deletion, which would otherwise be impossible. Allocated again at a later start. Failures are only
// logged: this is a precaution. Thread-safe.
class SpaceReserve {
 public:
  static constexpr char kFileName[] = "reserve";
  static constexpr int64_t kBytes = int64_t{4} << 20;

  explicit SpaceReserve(int store_fd) : store_fd_(store_fd) {}
  void Make() const noexcept;
  // Whether there was space to release.
  bool Release() const noexcept;

 private:
  int store_fd_;
};

}  // namespace ckptfs
