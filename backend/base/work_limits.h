// What bounds a long piece of work that somebody has asked for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs {

// What limits throw: the work is given up, however it is done.
class LimitError : public Error {
 public:
  using Error::Error;
};

// Whoever asked, as those who work see it: whether it still waits, and how much memory its work may take. It
// outlives what is made under it. One thread works under it; where limits are shared by several, that is
// the business of who implements this.
class WorkLimits {
 public:
  virtual ~WorkLimits() = default;
  // Called in every loop that may be long. Throws LimitError ECANCELED if nobody waits for the outcome any more.
  virtual void RequireWanted() = 0;
  // So much more memory is held from now on. Throws LimitError (E2BIG, EBUSY) if that is too
  // much, with what to do.
  virtual void Take(size_t bytes) = 0;
  virtual void Give(size_t bytes) noexcept = 0;
};

// A fixed amount of memory, for work that is done to its end.
class FixedLimits : public WorkLimits {
 public:
  explicit FixedLimits(size_t bytes_max) : bytes_left_(bytes_max) {}
  void RequireWanted() override {}
  void Take(size_t bytes) override;
  void Give(size_t bytes) noexcept override { bytes_left_ += bytes; }

 private:
  size_t bytes_left_;
};

// The memory of one thing that is made under limits, told to them in large pieces and given back with it.
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
  size_t taken_ = 0;  // of the limits: held_, and what comes next
};

}  // namespace ckptfs
