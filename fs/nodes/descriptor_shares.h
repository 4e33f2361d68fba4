// How the daemon's descriptors are divided among the users that make it keep them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <utility>

#include "backend/base/mutex.h"

namespace ckptfs {

class DescriptorShares;

// One descriptor charged to a user, for the object's lifetime. Move-only; outlived by its DescriptorShares.
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

  // False: the user's share was used up.
  bool valid() const noexcept { return shares_ != nullptr; }
  uid_t user() const noexcept { return user_; }
  // Charges it to another user from now on, regardless of that user's share.
  void PassTo(uid_t user);

 private:
  friend class DescriptorShares;
  DescriptorClaim(DescriptorShares& shares, uid_t user) : shares_(&shares), user_(user) {}

  DescriptorShares* shares_ = nullptr;
  uid_t user_ = 0;
};

// The rule: a user other than root holds at most as many as remain free. A single user can have half of all,
// two users a third each, and so on. So a new user always finds some free, and a thousand users together
// leave as many free as each of them has. Nothing is taken back from a user over the limit; that user only
// gets no more.
//
// Owned by the mount. Thread-safe. Never calls out with its lock held, except to `most`.
class DescriptorShares {
 public:
  // `most`: the maximum in total, at the moment.
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
