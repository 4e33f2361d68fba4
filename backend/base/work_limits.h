// Limits for long requested work.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs {

// Thrown by limits: the work is given up.
class LimitError : public Error {
 public:
  using Error::Error;
};

// The requester, as seen by the code that works for it: whether it still waits, and how much memory the work
// may take. Outlives what is made under it. Used by one working thread; implementations that share limits
// handle that themselves.
class WorkLimits {
 public:
  virtual ~WorkLimits() = default;
  // Called in every potentially long loop. Throws LimitError ECANCELED if nobody waits for the result any
  // more.
  virtual void RequireWanted() = 0;
  // Accounts for this much more memory. Throws LimitError (E2BIG, EBUSY), with the remedy, if that is too
  // much.
  virtual void Take(size_t bytes) = 0;
  virtual void Give(size_t bytes) noexcept = 0;
};

// A fixed amount of memory, for work that is never cancelled.
class FixedLimits : public WorkLimits {
 public:
  explicit FixedLimits(size_t bytes_max) : bytes_left_(bytes_max) {}
  void RequireWanted() override {}
  void Take(size_t bytes) override;
  void Give(size_t bytes) noexcept override { bytes_left_ += bytes; }

 private:
  size_t bytes_left_;
};

// The memory of one object made under limits. Accounted in large pieces, and released with the object.
class HeldBytes {
 public:
  explicit HeldBytes(WorkLimits& limits) : limits_(&limits) {}
  ~HeldBytes() { Clear(); }
  HeldBytes(HeldBytes&& other) noexcept
      : limits_(other.limits_),
        held_(std::exchange(other.held_, 0)),
        taken_(std::exchange(other.taken_, 0)) {}
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;
  HeldBytes& operator=(HeldBytes&&) = delete;

  WorkLimits& limits() const noexcept { return *limits_; }

  void Add(size_t bytes) {
    if (held_ + bytes > taken_) TakeFor(held_ + bytes);
    held_ += bytes;
  }
  void Remove(size_t bytes) noexcept { held_ -= std::min(bytes, held_); }
  void Clear() noexcept {
    if (taken_ != 0) limits_->Give(std::exchange(taken_, 0));
    held_ = 0;
  }

 private:
  void TakeFor(size_t bytes);

  WorkLimits* limits_;
  size_t held_ = 0;
  size_t taken_ = 0;  // from the limits: held_, and room for more
};

}  // namespace ckptfs
