// Copying one file: its contents with their holes, and its attributes.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace ckptfs {

// Copies contents between one pair of filesystems, and remembers which of the ways work between
// them. For one thread.
class ContentCopier {
 public:
  // `advanced` is called with the bytes that have been copied since the last call; what it throws
  // ends the copy.
  explicit ContentCopier(std::function<void(uint64_t bytes)> advanced)
      : advanced_(std::move(advanced)) {}

  // Makes the empty file `destination_fd` equal to `source_fd`, whose size is `size`, holes
  // included. `path` is for the errors. Throws Error; EAGAIN if the source ends before `size`.
  void Copy(int source_fd, int destination_fd, uint64_t size, std::string_view path);

  uint64_t copied_bytes() const noexcept { return copied_bytes_; }
  uint64_t shared_bytes() const noexcept { return shared_bytes_; }

 private:
  bool Share(int source_fd, int destination_fd, uint64_t size, std::string_view path);
  void CopyRange(int source_fd, int destination_fd, off_t begin, off_t end, std::string_view path);
  bool CopyInKernel(int source_fd, int destination_fd, off_t& at, off_t end, std::string_view path);
  void CopyThroughBuffer(int source_fd, int destination_fd, off_t at, off_t end,
                         std::string_view path);

  std::function<void(uint64_t bytes)> advanced_;
  bool try_share_ = true;
  bool try_kernel_copy_ = true;
  std::vector<char> buffer_;
  uint64_t copied_bytes_ = 0;
  uint64_t shared_bytes_ = 0;
};

// True if data of `source_fd` can be shared by files in `destination_dir_fd` by reflink: tried
// with a file without a name.
bool CanShareData(int source_fd, int destination_dir_fd);

// Gives `destination_fd` owner, mode, extended attributes, ACLs, and access and modification time
// of `source_fd`, whose attributes are `info`. Both may be O_PATH, and of any type. Owner first:
// a change of owner takes set-user-id bits and file capabilities away. Returns how many extended
// attributes the destination does not take although it takes those that matter: user.*, trusted.*,
// ACLs and file capabilities. One of these that cannot be kept is an Error, as is the owner.
uint64_t CopyAttributes(int source_fd, int destination_fd, const struct statx& info,
                        std::string_view path);

}  // namespace ckptfs
