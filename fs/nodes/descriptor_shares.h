// How the daemon's descriptors are divided among those who make it keep them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <utility>

#include "backend/base/mutex.h"

namespace ckptfs {

class DescriptorShares;

// One descriptor on a user's account, as long as it exists. Move-only; outlived by its DescriptorShares.
class DescriptorClaim {
 public:
  DescriptorClaim() = default;
  DescriptorClaim(DescriptorClaim&& other) noexcept
      : shares_(std::exchange(other.shares_, nullptr)), user_(other.user_) {}
  DescriptorClaim& operator=(DescriptorClaim&& other) noexcept {
    std::swap(shares_, other.shares_);
    std::swap(user_, other.user_);
    return *this;
  }
  DescriptorClaim(const DescriptorClaim&) = delete;
  DescriptorClaim& operator=(const DescriptorClaim&) = delete;
  ~DescriptorClaim();

  // False: his share was too small.
  bool valid() const noexcept { return shares_ != nullptr; }
  uid_t user() const noexcept { return user_; }
  // It is another's from now on, whatever his share is.
  void PassTo(uid_t user);

 private:
  friend class DescriptorShares;
  DescriptorClaim(DescriptorShares& shares, uid_t user) : shares_(&shares), user_(user) {}

  DescriptorShares* shares_ = nullptr;
  uid_t user_ = 0;
};

// The rule: a user who is not root holds no more than he leaves free. One alone can have half of all there
// are, two a third each, and so on: there are always some for one who comes new, and a thousand users who
// work together leave as many as each of them has. What somebody has, he keeps; only he gets no more.
//
// Owned by the mount. Any thread may call anything; never calls out with its lock held but to `most`.
class DescriptorShares {
 public:
  // `most`: how many there may be in all, at the moment.
  explicit DescriptorShares(std::function<uint64_t()> most) : most_(std::move(most)) {}

  DescriptorClaim Claim(uid_t user);

 private:
  friend class DescriptorClaim;
  void Add(uid_t user) REQUIRES(mutex_);
  void Remove(uid_t user) REQUIRES(mutex_);

  const std::function<uint64_t()> most_;
  Mutex mutex_;
  uint64_t held_by_all_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<uid_t, uint64_t> held_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
