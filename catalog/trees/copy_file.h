// Copies one file: its contents including holes, and its attributes.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace ckptfs {

// Copies contents between one pair of filesystems, and remembers which methods work between them. Used by one
// thread.
class ContentCopier {
 public:
  // `advanced` is called with the number of bytes copied since the last call; an exception from it ends the
  // copy.
  explicit ContentCopier(std::function<void(uint64_t bytes)> advanced)
      : advanced_(std::move(advanced)) {}

  // Makes the empty file `destination_fd` equal to `source_fd`, whose size is `size`, including holes. `path`
  // is for errors. Throws Error; EAGAIN if the source ends before `size`.
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

// Whether files in `destination_dir_fd` can share data of `source_fd` by reflink: tried with an O_TMPFILE
// file.
bool CanShareData(int source_fd, int destination_dir_fd);

// Gives `destination_fd` the owner, mode, extended attributes, ACLs, and access and modification times of
// `source_fd`, whose attributes are `info`. Both may be O_PATH, and of any type. The owner is set first:
// changing it drops set-user-id bits and file capabilities. Failure to keep the owner or an essential
// attribute (user.*, trusted.*, ACLs and file capabilities) is an Error. Returns the number of other
// attributes that the destination does not take. Extended attributes whose names begin with `no_xattrs` are
// not copied and not counted; empty: all are.
uint64_t CopyAttributes(int source_fd, int destination_fd, const struct statx& info,
                        std::string_view path, std::string_view no_xattrs = {});

}  // namespace ckptfs
