// View numbers of trees that are being created.
#pragma once

#include <cstdint>
#include <set>
#include <utility>

#include "backend/base/mutex.h"
#include "catalog/db/catalog.h"

namespace ckptfs {

// Chooses the numbers for new trees, several of which may be in progress. Owned by the store's context.
// Thread-safe.
class GivenViews {
 public:
  // While it exists, nobody else gets the number. Kept until the row exists, or will never exist.
  class Number {
   public:
    ~Number() {
      if (owner_ != nullptr) owner_->GiveBack(view_);
    }
    Number(Number&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), view_(other.view_) {}
    Number& operator=(Number&&) = delete;
    Number(const Number&) = delete;
    Number& operator=(const Number&) = delete;

    operator uint64_t() const noexcept { return view_; }  // NOLINT: implicit on purpose

   private:
    friend class GivenViews;
    Number(GivenViews& owner, uint64_t view) : owner_(&owner), view_(view) {}

    GivenViews* owner_;
    uint64_t view_;
  };

  // Store::SetViewHolder.
  void SetHolder(IsViewHeld is_held) {
    const MutexLock lock(mutex_);
    is_held_ = std::move(is_held);
  }

  // Throws ENOSPC if all are in use.
  Number Take(const Catalog& catalog, ViewUse use) {
    const MutexLock lock(mutex_);
    const uint64_t view = catalog.NextView(use, [this](uint64_t candidate) REQUIRES(mutex_) {
      return under_way_.contains(candidate) || (is_held_ && is_held_(candidate));
    });
    under_way_.insert(view);
    return {*this, view};
  }

 private:
  void GiveBack(uint64_t view) {
    const MutexLock lock(mutex_);
    under_way_.erase(view);
  }

  Mutex mutex_;
  IsViewHeld is_held_ GUARDED_BY(mutex_);
  std::set<uint64_t> under_way_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
