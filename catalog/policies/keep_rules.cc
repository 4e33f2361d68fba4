#include "catalog/policies/keep_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <numeric>
#include <optional>
#include <ratio>

namespace ckptfs {
namespace {

constexpr std::array<const char*, kPeriods> kWords = {"last",   "hourly",  "daily",
                                                      "weekly", "monthly", "yearly"};

// The same number for snapshots in one period, different numbers for different periods.
int64_t NumberOf(Period period, const std::tm& local, int64_t index) {
  constexpr int64_t kSecondsOfDay = 86'400;
  constexpr int64_t kHoursPerDay = 24;
  constexpr int64_t kDaysPerWeek = 7;
  constexpr int64_t kMonthsPerYear = 12;
  constexpr int64_t kMondayBefore1970 = 3;  // 1 January 1970 was a Thursday
  std::tm date{};
  date.tm_year = local.tm_year;
  date.tm_mon = local.tm_mon;
  date.tm_mday = local.tm_mday;
  const int64_t day = timegm(&date) / kSecondsOfDay;
  switch (period) {
    case Period::kEach:
      return index;
    case Period::kHour:  // when clocks are set back, the repeated hour counts once
      return day * kHoursPerDay + local.tm_hour;
    case Period::kDay:
      return day;
    case Period::kWeek:
      return (day + kMondayBefore1970) / kDaysPerWeek;
    case Period::kMonth:
      return int64_t{local.tm_year} * kMonthsPerYear + local.tm_mon;
    case Period::kYear:
      return local.tm_year;
  }
  return index;
}

std::string TextOf(const Span& span) {
  constexpr int64_t kMinute = 60;
  constexpr int64_t kHour = 3600;
  std::string text;
  const auto add = [&text](int64_t number, const char* unit) {
    if (number != 0) text += fmt::format("{}{}", number, unit);
  };
  add(span.years, "y");
  add(span.months, "mo");
  add(span.days, "d");
  add(span.seconds / kHour, "h");
  add(span.seconds % kHour / kMinute, "min");
  add(span.seconds % kMinute, "s");
  return text;
}

// The progress of one rule from the newest snapshot to the oldest.
struct Walk {
  Period period;
  uint64_t left = 0;                // for a count
  std::optional<int64_t> after_ns;  // for a span
  std::string reason;
  std::optional<int64_t> last_kept;  // the period of the last snapshot that it kept

  // Whether it keeps the next older snapshot, whose period has that number.
  bool Keeps(int64_t created_ns, int64_t number, bool is_oldest) {
    if (after_ns ? created_ns <= *after_ns : left == 0) return false;
    if (number == last_kept && !is_oldest) return false;
    if (left != 0 && left != kUnlimited) --left;
    last_kept = number;
    return true;
  }
};

std::vector<Walk> CountsOf(const KeepRules& rules) {
  std::vector<Walk> walks;
  for (size_t i = 0; i < kPeriods; ++i) {
    if (rules.counts.at(i) == 0) continue;
    walks.push_back({.period = static_cast<Period>(i),
                     .left = rules.counts.at(i),
                     .after_ns = std::nullopt,
                     .reason = fmt::format("{} snapshot", kWords.at(i)),
                     .last_kept = std::nullopt});
  }
  return walks;
}

std::vector<Walk> SpansOf(const KeepRules& rules, int64_t newest_ns) {
  std::vector<Walk> walks;
  for (size_t i = 0; i < kPeriods; ++i) {
    const Span& span = rules.within.at(i);
    if (span.IsZero()) continue;
    const std::string word = i == 0 ? "" : fmt::format("{} ", kWords.at(i));
    walks.push_back({.period = static_cast<Period>(i),
                     .left = 0,
                     .after_ns = TimeBefore(newest_ns, span),
                     .reason = fmt::format("{}within {}", word, TextOf(span)),
                     .last_kept = std::nullopt});
  }
  return walks;
}

std::tm LocalTime(int64_t time_ns) {
  const time_t seconds = time_ns / std::nano::den;
  std::tm local{};
  localtime_r(&seconds, &local);
  return local;
}

std::vector<size_t> NewestFirst(const std::vector<int64_t>& created_ns) {
  std::vector<size_t> order(created_ns.size());
  std::iota(order.begin(), order.end(), 0);
  std::reverse(order.begin(), order.end());
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return created_ns[a] > created_ns[b]; });
  return order;
}

}  // namespace

bool KeepRules::IsEmpty() const { return counts.front() == 0 && !GoByTime(); }

bool KeepRules::GoByTime() const {
  return std::any_of(counts.begin() + 1, counts.end(), [](uint64_t count) { return count != 0; }) ||
         std::any_of(within.begin(), within.end(), [](const Span& span) { return !span.IsZero(); });
}

std::vector<std::vector<std::string>> ReasonsToKeep(const KeepRules& rules,
                                                    const std::vector<int64_t>& created_ns,
                                                    int64_t now_ns) {
  std::vector<std::vector<std::string>> reasons(created_ns.size());
  const std::vector<size_t> order = NewestFirst(created_ns);
  const auto newest = std::find_if(order.begin(), order.end(),
                                   [&](size_t index) { return created_ns[index] <= now_ns; });
  std::vector<Walk> walks = CountsOf(rules);
  if (newest != order.end()) {
    const std::vector<Walk> spans = SpansOf(rules, created_ns[*newest]);
    walks.insert(walks.end(), spans.begin(), spans.end());
  }
  for (const size_t index : order) {
    const int64_t time_ns = created_ns[index];
    const bool is_dated = time_ns <= now_ns;
    const std::tm local = LocalTime(time_ns);
    for (Walk& walk : walks) {
      const bool asks_time = walk.after_ns || walk.period != Period::kEach;
      if (asks_time && !is_dated) continue;
      const int64_t number = NumberOf(walk.period, local, static_cast<int64_t>(index));
      const bool comes_again = number == walk.last_kept;
      if (!walk.Keeps(time_ns, number, index == order.back())) continue;
      reasons[index].push_back(comes_again ? "oldest " + walk.reason : walk.reason);
    }
    if (!is_dated && rules.GoByTime()) reasons[index].emplace_back("dated after now");
  }
  return reasons;
}

}  // namespace ckptfs
