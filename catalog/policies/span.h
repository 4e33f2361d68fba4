// Numbers and lengths of time as users write them in settings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ckptfs {

// A length of time. Years, months and days are those of the calendar: a day has 23 hours where the clocks are
// set forward. A value.
struct Span {
  int64_t years = 0;
  int64_t months = 0;
  int64_t days = 0;
  int64_t seconds = 0;

  bool IsZero() const noexcept { return years == 0 && months == 0 && days == 0 && seconds == 0; }
  bool operator==(const Span&) const = default;
};

// The longest that can be written, as nanoseconds since 1970 have to hold what lies that long before.
inline constexpr int64_t kSpanYearsMax = 200;

// Reads one or more whole numbers, each with a unit behind it: s, min, h, d, w, mo, y ("36h", "1y6mo"). Throws
// Error EINVAL for anything else, for a length of zero, and for more than kSpanYearsMax; `what` is the key that
// it is the value of. A bare "m" is a minute to some programs and a month to others: refused, with both named.
Span ParseSpan(std::string_view what, std::string_view text);

// The moment that lies so long before `time_ns` (nanoseconds since 1970), by the calendar and the clocks of this
// process's time zone. A date that a month does not have counts on into the next, as mktime(3) does it.
int64_t TimeBefore(int64_t time_ns, const Span& span);

// The same as a number, for what is timed and not dated: a month has 30 days, a year 365.
int64_t NanosecondsOf(const Span& span);

inline constexpr uint64_t kCountMax = 1'000'000;
// Reads a whole number from 1 to kCountMax. Throws Error EINVAL otherwise.
uint64_t ParseCount(std::string_view what, std::string_view text);

}  // namespace ckptfs
