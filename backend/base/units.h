#pragma once

#include <cstdint>

namespace ckptfs {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;  // bytes

}  // namespace ckptfs
