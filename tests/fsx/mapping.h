// A memory mapping of a file.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "tests/fsx/model.h"

namespace ckptfs::fsx {

// A shared mapping of part of a file, which may extend beyond the end of the file. It outlives the descriptor
// that it was made with.
class Mapping {
 public:
  enum class Access { kRead, kReadWrite };

  // Throws Mismatch if mmap fails. `by_writer`: the descriptor is open for writing, so this mapping blocks
  // rollbacks.
  Mapping(int fd, InodePtr inode, size_t offset, size_t length, Access access, bool by_writer);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  Inode& inode() const { return *inode_; }
  const InodePtr& inode_ptr() const { return inode_; }
  size_t offset() const { return offset_; }
  size_t end() const { return offset_ + length_; }
  bool can_store() const { return access_ == Access::kReadWrite; }
  bool by_writer() const { return by_writer_; }

  // Offsets are in the file, and must lie within the mapping. Throw Mismatch on SIGBUS.
  std::string Load(size_t offset, size_t length) const;
  void Store(size_t offset, std::string_view data) const;
  void Sync(int flags) const;

  // Whether the kernel will notice the next store to any of its pages: none has been stored to since mmap or
  // the last writeback.
  bool watched() const { return watched_; }
  void set_watched(bool watched) { watched_ = watched; }

 private:
  InodePtr inode_;
  size_t offset_;
  size_t length_;
  Access access_;
  bool by_writer_;
  bool watched_ = true;
  char* address_;
};

}  // namespace ckptfs::fsx
