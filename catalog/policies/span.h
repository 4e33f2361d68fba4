// Numbers, time spans and sizes as users write them in settings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ckptfs {

// A time span. Years, months and days are those of the calendar: a day has 23 hours when the clocks are set
// forward. A value type.
struct Span {
  int64_t years = 0;
  int64_t months = 0;
  int64_t days = 0;
  int64_t seconds = 0;

  bool IsZero() const noexcept { return years == 0 && months == 0 && days == 0 && seconds == 0; }
  bool operator==(const Span&) const = default;
};

// The longest span: the time that lies so long ago must fit into nanoseconds since 1970.
inline constexpr int64_t kSpanYearsMax = 200;

// Reads one or more whole numbers, each followed by a unit: s, min, h, d, w, mo, y ("36h", "1y6mo"). Throws
// Error EINVAL for anything else, for zero, and for more than kSpanYearsMax; `what` is the key that it is the
// value of. A bare "m" means minutes to some programs and months to others: it is refused, naming both.
Span ParseSpan(std::string_view what, std::string_view text);

// The time one span before `time_ns` (nanoseconds since 1970), by the calendar and clocks of the process's
// time zone. A day that the month does not have runs over into the next month, as with mktime(3).
int64_t TimeBefore(int64_t time_ns, const Span& span);

// The span as a number, for intervals that have no date: a month has 30 days, a year 365.
int64_t NanosecondsOf(const Span& span);

inline constexpr uint64_t kCountMax = 1'000'000;
// Reads a whole number from 1 to kCountMax. Throws Error EINVAL otherwise.
uint64_t ParseCount(std::string_view what, std::string_view text);

// Part of a disk: a number of bytes, or a percentage of its size. A value type.
struct DiskShare {
  uint64_t bytes = 0;
  uint64_t percent = 0;  // not 0: this counts

  uint64_t BytesOf(uint64_t total_bytes) const {
    constexpr uint64_t kWhole = 100;
    if (percent == 0) return bytes;
    return total_bytes / kWhole * percent + total_bytes % kWhole * percent / kWhole;
  }
  bool operator==(const DiskShare&) const = default;
};

// Reads a number from 1 to `max` followed by a percent sign. Throws Error EINVAL otherwise.
uint64_t ParsePercent(std::string_view what, std::string_view text, uint64_t max);
// Reads such a percentage, or a size as for ParseByteSize. Throws Error EINVAL otherwise.
DiskShare ParseDiskShare(std::string_view what, std::string_view text, uint64_t percent_max);

}  // namespace ckptfs
