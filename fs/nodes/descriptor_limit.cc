#include "fs/nodes/descriptor_limit.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>

namespace ckptfs {
namespace {

constexpr rlim_t kReservedMax = 1024;
constexpr rlim_t kReservedPart = 8;  // fraction of a small limit

rlim_t Limit() noexcept {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

rlim_t KernelsLimit() {
  rlim_t limit = 0;
  std::ifstream("/proc/sys/fs/nr_open") >> limit;
  return limit;
}

}  // namespace

void RaiseDescriptorLimit() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t highest = std::max(limit.rlim_max, KernelsLimit());
  const rlimit raised{.rlim_cur = highest, .rlim_max = highest};
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t DescriptorsForPrograms() noexcept {
  const rlim_t limit = Limit();
  return limit - std::min(limit / kReservedPart, kReservedMax);
}

bool IsReservedDescriptor(int fd) noexcept {
  return static_cast<uint64_t>(fd) >= DescriptorsForPrograms();
}

}  // namespace ckptfs
