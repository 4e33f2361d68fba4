// A disk with a volatile cache, and a switch for its power.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/base/unique_fd.h"

namespace ckptfs::powercut {

// The cache holds all versions of each written block until a flush. When the power is cut, each block
// independently keeps the content of the last flush or any version since, because disks destage in any order.
// So a write of several blocks may arrive in part, and a later write may arrive without an earlier one. A
// block itself is never torn, as on disks with sectors of 4 KiB. Without power everything fails with EIO: a
// flush that has returned success is durable whenever the power is cut.
//
// Thread-safe. Errors of the file are thrown.
class Disk {
 public:
  static constexpr size_t kBlock = 4096;

  // `file` holds the durable content; its size is that of the disk, a multiple of kBlock.
  Disk(UniqueFd file, uint64_t seed);

  off_t size() const { return size_; }

  // As pread(2) and pwrite(2) within the disk: the number of bytes, or -errno.
  int Read(std::span<char> to, off_t offset);
  int Write(std::span<const char> from, off_t offset);
  int Flush();

  // At once, or right after that many more writes: before the flush that may follow, when most data is at
  // stake. Does nothing if the power is off.
  void CutPower(uint64_t after_writes = 0);
  void RestorePower();  // with the content that the cut left
  // One line: "on", or "off" and what the cut did.
  std::string Describe();

 private:
  using Block = std::array<char, kBlock>;

  // The current content of the block.
  void Load(uint64_t number, Block& block) const;
  void Store(uint64_t number, const Block& block) const;
  void DestageSome();
  void Cut();

  const UniqueFd file_;
  const off_t size_;
  std::mutex mutex_;
  std::mt19937_64 random_;
  bool on_ = true;
  std::string last_cut_;
  size_t versions_ = 0;  // in the cache
  uint64_t writes_ = 0, flushes_ = 0;
  uint64_t writes_left_ = 0;                                // until the power is cut; 0: none
  std::unordered_map<uint64_t, std::vector<Block>> cache_;  // by number: the versions, oldest first
};

}  // namespace ckptfs::powercut
