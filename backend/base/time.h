// Wall-clock times as ckptfs stores and prints them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ckptfs {

// Nanoseconds since the epoch, CLOCK_REALTIME.
int64_t NowNs();

// RFC 3339 in UTC with nanoseconds: "2026-11-20T21:22:33.123456789Z".
std::string FormatRfc3339(int64_t time_ns);

// The inverse of FormatRfc3339; empty if `text` is not of that form (0 to 9 fractional digits are accepted).
std::optional<int64_t> ParseRfc3339(std::string_view text);

// For names: "20261120T212233Z", sortable, without characters that are special to shells or rsync.
std::string FormatForName(int64_t time_ns);
// The inverse, to the second; empty if `text` is not of that form.
std::optional<int64_t> ParseNameTime(std::string_view text);

}  // namespace ckptfs
