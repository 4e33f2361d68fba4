#include "backend/base/work_limits.h"

#include <cerrno>

namespace ckptfs {
namespace {

constexpr size_t kStepBytes = size_t{64} << 10;

}  // namespace

void FixedLimits::Take(size_t bytes) {
  if (bytes > bytes_left_) throw LimitError(E2BIG, "compare two states", "they differ in too much");
  bytes_left_ -= bytes;
}

void HeldBytes::TakeFor(size_t bytes) {
  const size_t wanted = (bytes + kStepBytes - 1) / kStepBytes * kStepBytes;
  limits_->Take(wanted - taken_);
  taken_ = wanted;
}

}  // namespace ckptfs
