// Which snapshots of a series the keep rules keep.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "catalog/policies/span.h"

namespace ckptfs {

// Calendar periods in the process's time zone. Weeks begin on Monday, as in ISO 8601. kEach: every snapshot
// is its own period.
enum class Period : size_t { kEach, kHour, kDay, kWeek, kMonth, kYear };
inline constexpr size_t kPeriods = 6;

inline constexpr uint64_t kUnlimited = UINT64_MAX;

// Rules with the names and meaning that they have in restic (`restic forget --keep-...`):
//   counts    the newest snapshot of each of the last N periods that have one. While there are fewer such
//             periods, the oldest snapshot is kept too.
//   within    the newest snapshot of each period in a span that ends at the newest snapshot. The oldest is
//             kept too if it lies within the span.
// A snapshot that any rule keeps is kept. A value type.
struct KeepRules {
  std::array<uint64_t, kPeriods> counts{};  // by Period; 0: no rule
  std::array<Span, kPeriods> within{};      // by Period; zero: no rule

  uint64_t& count(Period period) { return counts.at(static_cast<size_t>(period)); }
  Span& span(Period period) { return within.at(static_cast<size_t>(period)); }
  bool IsEmpty() const;
  // Whether any rule depends on when a snapshot was made.
  bool GoByTime() const;
};

// For each snapshot the reasons to keep it, one for each rule that keeps it ("daily snapshot", "within 7d");
// empty: no rule does. `created_ns` are their times in nanoseconds since 1970, in order of creation: of two
// with the same time the later one is the newer.
//
// A snapshot dated after `now_ns` was made while the clock was wrong, or the clock is wrong now. Its period
// is unknown: rules by time keep it and treat the others as if it did not exist.
std::vector<std::vector<std::string>> ReasonsToKeep(const KeepRules& rules,
                                                    const std::vector<int64_t>& created_ns,
                                                    int64_t now_ns);

}  // namespace ckptfs
