#include "backend/base/low_priority.h"

#include <sys/resource.h>

#include <algorithm>

namespace ckptfs {
namespace {

constexpr int kLow = 5;  // a third of the time of others on the same processor

}  // namespace

// On Linux these apply to the calling thread.
LowPriority::LowPriority() noexcept : before_(getpriority(PRIO_PROCESS, 0)) {
  setpriority(PRIO_PROCESS, 0, std::max(kLow, before_));
}

LowPriority::~LowPriority() { setpriority(PRIO_PROCESS, 0, before_); }

}  // namespace ckptfs
