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

// What was written is in the cache, in all its versions, until a flush. When the power is cut, each block
// goes its own way: it keeps what it had at the last flush, or any version since, as disks destage in the order
// that they like. So a write of several blocks may arrive in part, and one that came later without one before
// it. A block itself is whole, as on disks with sectors of 4 KiB. Without power everything fails with EIO: who
// is told that a flush has ended may rely on it, whenever the cut comes.
//
// Any thread may call any function. Errors of the file are thrown.
class Disk {
 public:
  static constexpr size_t kBlock = 4096;

  // `file` holds what is durable; its size is that of the disk, a multiple of kBlock.
  Disk(UniqueFd file, uint64_t seed);

  off_t size() const { return size_; }

  // As pread(2) and pwrite(2) within the disk: how many bytes, or less than 0 for -errno.
  int Read(std::span<char> to, off_t offset);
  int Write(std::span<const char> from, off_t offset);
  int Flush();

  // At once, or right after so many more writes: before the flush that may follow, which is when most is at
  // stake. Nothing happens if it is off.
  void CutPower(uint64_t after_writes = 0);
  void RestorePower();  // as it was left
  // One line: "on", or "off" and what the cut did.
  std::string Describe();

 private:
  using Block = std::array<char, kBlock>;

  // What is read of the block now.
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
  uint64_t writes_left_ = 0;                                // until the power goes; 0: it does not
  std::unordered_map<uint64_t, std::vector<Block>> cache_;  // by number: the versions, oldest first
};

}  // namespace ckptfs::powercut
