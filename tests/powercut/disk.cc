#include "tests/powercut/disk.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs::powercut {
namespace {

// A cache of 64 MiB: what is more goes to the disk before anybody asks for it.
constexpr size_t kVersionsMax = 16384;

off_t SizeOf(int fd) {
  struct stat status {};
  CheckSyscall(fstat(fd, &status), "stat the disk's file");
  return status.st_size;
}

}  // namespace

Disk::Disk(UniqueFd file, uint64_t seed)
    : file_(std::move(file)), size_(SizeOf(file_.get())), random_(seed) {
  if (size_ == 0 || size_ % kBlock != 0) {
    throw Error(EINVAL, "use the disk's file", "its size is no multiple of 4096");
  }
}

void Disk::Load(uint64_t number, Block& block) const {
  const auto cached = cache_.find(number);
  if (cached != cache_.end()) {
    block = cached->second.back();
    return;
  }
  const ssize_t got = pread(file_.get(), block.data(), kBlock, static_cast<off_t>(number * kBlock));
  if (CheckSyscall(got, "read the disk's file") != kBlock) {
    throw Error(EIO, "read the disk's file", "it is too short");
  }
}

void Disk::Store(uint64_t number, const Block& block) const {
  const ssize_t put =
      pwrite(file_.get(), block.data(), kBlock, static_cast<off_t>(number * kBlock));
  if (CheckSyscall(put, "write the disk's file") != kBlock) {
    throw Error(EIO, "write the disk's file", "it takes a part only");
  }
}

int Disk::Read(std::span<char> to, off_t offset) {
  const std::lock_guard lock(mutex_);
  if (!on_) return -EIO;
  const size_t size = std::min(to.size(), static_cast<size_t>(std::max<off_t>(size_ - offset, 0)));
  Block block;
  for (size_t done = 0; done < size;) {
    const size_t at = static_cast<size_t>(offset) + done;
    const size_t part = std::min(size - done, kBlock - at % kBlock);
    Load(at / kBlock, block);
    std::memcpy(to.data() + done, block.data() + at % kBlock, part);
    done += part;
  }
  return static_cast<int>(size);
}

int Disk::Write(std::span<const char> from, off_t offset) {
  const std::lock_guard lock(mutex_);
  if (!on_) return -EIO;
  if (offset + static_cast<off_t>(from.size()) > size_) return -ENOSPC;
  Block block;
  for (size_t done = 0; done < from.size();) {
    const size_t at = static_cast<size_t>(offset) + done;
    const size_t part = std::min(from.size() - done, kBlock - at % kBlock);
    Load(at / kBlock, block);
    std::memcpy(block.data() + at % kBlock, from.data() + done, part);
    cache_[at / kBlock].push_back(block);
    ++versions_;
    done += part;
  }
  ++writes_;
  DestageSome();
  if (writes_left_ > 0 && --writes_left_ == 0) Cut();
  return static_cast<int>(from.size());
}

void Disk::DestageSome() {
  while (versions_ > kVersionsMax) {
    const auto some = cache_.begin();
    Store(some->first, some->second.back());
    versions_ -= some->second.size();
    cache_.erase(some);
  }
}

int Disk::Flush() {
  const std::lock_guard lock(mutex_);
  if (!on_) return -EIO;
  for (const auto& [number, versions] : cache_) Store(number, versions.back());
  cache_.clear();
  versions_ = 0;
  ++flushes_;
  return 0;
}

void Disk::CutPower(uint64_t after_writes) {
  const std::lock_guard lock(mutex_);
  if (!on_) return;
  writes_left_ = after_writes;
  if (after_writes == 0) Cut();
}

void Disk::Cut() {
  on_ = false;
  // Now and then all is lost or nothing: what is left is the state at a flush, or that of a killed machine
  // whose disk lives on.
  std::uniform_real_distribution<double> share(0, 1);
  const double kind = share(random_);
  double lost_share = share(random_);
  if (kind < 0.2) lost_share = 1;
  const bool newest = kind > 0.8;
  size_t lost = 0;
  for (const auto& [number, versions] : cache_) {
    if (!newest && share(random_) < lost_share) {
      ++lost;
      continue;
    }
    const size_t kept = newest ? versions.size() - 1 : random_() % versions.size();
    Store(number, versions[kept]);
  }
  last_cut_ = fmt::format("{} of {} unflushed blocks lost, after {} writes and {} flushes", lost,
                          cache_.size(), writes_, flushes_);
  cache_.clear();
  versions_ = 0;
}

void Disk::RestorePower() {
  const std::lock_guard lock(mutex_);
  on_ = true;
  writes_left_ = 0;
}

std::string Disk::Describe() {
  const std::lock_guard lock(mutex_);
  return on_ ? fmt::format("on {} writes, {} flushes, {} blocks in the cache\n", writes_, flushes_,
                           cache_.size())
             : fmt::format("off {}\n", last_cut_);
}

}  // namespace ckptfs::powercut
