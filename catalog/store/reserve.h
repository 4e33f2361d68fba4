// Reserved space for the catalog on a full disk.
#pragma once

#include <cstdint>
#include <string>

namespace ckptfs {

// A few preallocated MiB in the store's directory. At a mount they become the blocks of the catalog's WAL: to it
// SQLite writes again and again, so that changes, above all deletions, need no more of the disk. Then a new
// reserve is made, for what the WAL lacks all the same (Release). If there is no space for one, the WAL becomes the
// reserve at the unmount. All this without a moment in which other programs could take the blocks.
//
// Failures are only logged: this is a precaution. Thread-safe.
class SpaceReserve {
 public:
  static constexpr char kFileName[] = "reserve";
  static constexpr char kHeldLogName[] =
      "reserve.new";  // during an unmount; meaningless afterwards
  static constexpr int64_t kBytes = int64_t{6} << 20;

  explicit SpaceReserve(int store_fd) : store_fd_(store_fd) {}
  // Whether it is there on return.
  bool Make() const noexcept;
  // Gives the space back to the disk. Whether there was any.
  bool Release() const noexcept;

  // Before the catalog is opened: the reserve becomes an empty WAL of that name, unless there is a WAL. Whether it
  // has.
  bool BecomeLog(const std::string& log_name) const noexcept;
  // Around the closing of the catalog, with which SQLite removes the name of its WAL: the reserve gets the WAL's
  // blocks if it has none, and if that name is gone.
  void HoldLog(const std::string& log_name) const noexcept;
  void TakeHeldLog(const std::string& log_name) const noexcept;

 private:
  bool MayExist(const std::string& name) const noexcept;
  bool InvalidateLog(const char* name) const noexcept;

  int store_fd_;
};

}  // namespace ckptfs
