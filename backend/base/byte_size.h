// Numbers of bytes as users write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ckptfs {

// A whole number above 0, with or without a unit: "4096", "500M", "20GiB". Units are powers of 1024: K, M, G,
// T, in either case, optionally followed by B or iB. Empty if `text` is not of that form or too large.
std::optional<uint64_t> ParseByteSize(std::string_view text);

}  // namespace ckptfs
