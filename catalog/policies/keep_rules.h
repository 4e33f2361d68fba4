// Which of a series of snapshots rules keep.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "catalog/policies/span.h"

namespace ckptfs {

// Periods of the calendar in this process's time zone. Weeks begin on Monday, as those of ISO 8601. kEach: every
// snapshot is a period of its own.
enum class Period : size_t { kEach, kHour, kDay, kWeek, kMonth, kYear };
inline constexpr size_t kPeriods = 6;

inline constexpr uint64_t kUnlimited = UINT64_MAX;

// Rules with the words and the meaning that restic gave them (`restic forget --keep-...`):
//   counts    of the last N periods that have a snapshot, the newest of each. While fewer periods than that have
//             one, the oldest snapshot of all stays too.
//   within    of the periods in a span that ends at the newest snapshot, the newest of each. The oldest stays too
//             if it is within.
// A snapshot that any rule keeps is kept. A value.
struct KeepRules {
  std::array<uint64_t, kPeriods> counts{};  // by Period; 0: no such rule
  std::array<Span, kPeriods> within{};      // likewise; zero: no such rule

  uint64_t& count(Period period) { return counts.at(static_cast<size_t>(period)); }
  Span& span(Period period) { return within.at(static_cast<size_t>(period)); }
  bool IsEmpty() const;
  // Whether any rule asks when a snapshot was made.
  bool GoByTime() const;
};

// Of each snapshot why it is kept, one reason for each rule that keeps it ("daily snapshot", "within 7d"); empty:
// no rule does. `created_ns` are their times in nanoseconds since 1970, in the order in which they were made: of
// two with the same time the later one is the newer.
//
// One that is dated after `now_ns` was made while the clock was wrong, or the clock is wrong now. Nobody can say
// which period it belongs to: rules by time keep it, and look at the others as if it were not there.
std::vector<std::vector<std::string>> ReasonsToKeep(const KeepRules& rules,
                                                    const std::vector<int64_t>& created_ns,
                                                    int64_t now_ns);

}  // namespace ckptfs
