#include "catalog/policies/keep_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iomanip>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "backend/base/time.h"
#include "tests/unit/catalog/policies/time_zone.h"

namespace ckptfs {
namespace {

int64_t At(const std::string& text) { return ParseRfc3339(text).value(); }

struct PeriodName {
  Period period;
  const char* name;
};
constexpr PeriodName kPeriodNames[] = {{Period::kEach, "last"},     {Period::kHour, "hourly"},
                                       {Period::kDay, "daily"},     {Period::kWeek, "weekly"},
                                       {Period::kMonth, "monthly"}, {Period::kYear, "yearly"}};

// "daily=3 within=7d within-hourly=2d"
KeepRules RulesOf(const std::string& text) {
  KeepRules rules;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const std::string key = word.substr(0, word.find('='));
    const std::string value = word.substr(word.find('=') + 1);
    if (key == "within") rules.span(Period::kEach) = ParseSpan(key, value);
    for (const PeriodName& entry : kPeriodNames) {
      if (key == entry.name) {
        rules.count(entry.period) = value == "unlimited" ? kUnlimited : ParseCount(key, value);
      }
      if (key == std::string("within-") + entry.name) {
        rules.span(entry.period) = ParseSpan(key, value);
      }
    }
  }
  return rules;
}

std::string Pattern(const std::vector<std::vector<std::string>>& reasons) {
  std::string pattern;
  for (const auto& of_one : reasons) pattern += of_one.empty() ? '.' : 'k';
  return pattern;
}

// --- Worked out by hand -------------------------------------------------------------------------

struct Case {
  const char* name;
  const char* zone;
  const char* rules;
  std::vector<std::string> times;  // in the order in which they were made, in UTC
  const char* kept;                // 'k' or '.' for each
  const char* now = "2100-01-01T00:00:00Z";
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

const Case kCases[] = {
    // Counts.
    {"LastOne", kUtc, "last=1", {"2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"}, ".k"},
    {"LastTwoOfThree",
     kUtc,
     "last=2",
     {"2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"},
     ".kk"},
    {"LastMoreThanThereAre",
     kUtc,
     "last=5",
     {"2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"},
     "kk"},
    {"LastUnlimited",
     kUtc,
     "last=unlimited",
     {"2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2027-01-01T00:00:00Z"},
     "kkk"},
    {"OnlyOne", kUtc, "daily=1", {"2026-01-01T00:00:00Z"}, "k"},
    {"None", kUtc, "daily=1", {}, ""},
    // The count of one is used up by the newest, so the oldest has no place.
    {"DailyOne", kUtc, "daily=1", {"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"}, ".k"},
    // Two days wanted and one there: the oldest of all stays for the second.
    {"DailyUnfilledKeepsTheOldest",
     kUtc,
     "daily=2",
     {"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"},
     "k.k"},
    {"DailyFilledExactlyKeepsNoOldest",
     kUtc,
     "daily=2",
     {"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-02T03:00:00Z"},
     ".kk"},
    {"DailyThreeOfTwoDays",
     kUtc,
     "daily=3",
     {"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T04:00:00Z",
      "2026-01-02T03:00:00Z"},
     "k.kk"},
    // Days without a snapshot do not count.
    {"DailyPassesOverEmptyDays",
     kUtc,
     "daily=2",
     {"2025-01-01T12:00:00Z", "2025-06-01T12:00:00Z", "2026-01-01T12:00:00Z"},
     ".kk"},
    {"DailyTakesTheNewestOfEach",
     kUtc,
     "daily=2",
     {"2026-01-01T08:00:00Z", "2026-01-01T20:00:00Z", "2026-01-02T08:00:00Z",
      "2026-01-02T20:00:00Z", "2025-12-31T00:00:00Z"},
     ".k.k."},
    {"HourlyTwo",
     kUtc,
     "hourly=2",
     {"2026-01-01T08:10:00Z", "2026-01-01T09:00:00Z", "2026-01-01T09:59:59Z",
      "2026-01-01T10:00:00Z"},
     "..kk"},
    {"HourlyOfTwoDaysAreNotTheSameHour",
     kUtc,
     "hourly=2",
     {"2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z"},
     "kk"},
    {"MonthlyTwo",
     kUtc,
     "monthly=2",
     {"2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z", "2026-02-28T00:00:00Z",
      "2026-03-01T00:00:00Z"},
     "..kk"},
    {"MonthlyOfTwoYears",
     kUtc,
     "monthly=2",
     {"2025-03-01T00:00:00Z", "2026-03-01T00:00:00Z"},
     "kk"},
    {"YearlyTwo",
     kUtc,
     "yearly=2",
     {"2024-01-01T00:00:00Z", "2024-12-31T23:59:59Z", "2025-01-01T00:00:00Z",
      "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"},
     "...kk"},
    {"YearlyUnfilled",
     kUtc,
     "yearly=3",
     {"2025-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"},
     "kkk"},
    {"DailyUnlimited",
     kUtc,
     "daily=unlimited",
     {"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z",
      "2026-01-02T01:00:00Z"},
     "k.kk"},
    // Any rule keeps.
    {"TwoRules",
     kUtc,
     "last=1 yearly=2",
     {"2024-06-01T00:00:00Z", "2025-06-01T00:00:00Z", "2026-06-01T00:00:00Z",
      "2026-07-01T00:00:00Z"},
     ".k.k"},
    // Two more days than there are: daily keeps the oldest, too.
    {"TwoRulesOfWhichOneIsUnfilled",
     kUtc,
     "last=1 daily=3",
     {"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-02T01:00:00Z",
      "2026-01-02T02:00:00Z"},
     "kk.k"},
    // ISO weeks: Monday the 28th of December 2020 to Sunday the 3rd of January 2021 is week 53 of 2020.
    {"Week53GoesOverTheNewYear",
     kUtc,
     "weekly=1",
     {"2020-12-28T00:00:00Z", "2021-01-03T23:59:59Z"},
     ".k"},
    {"Week53AndWeekOne",
     kUtc,
     "weekly=2",
     {"2020-12-27T23:59:59Z", "2020-12-28T00:00:00Z", "2021-01-03T23:59:59Z",
      "2021-01-04T00:00:00Z"},
     "..kk"},
    // Monday the 29th of December 2025 is in week 1 of 2026 already.
    {"WeekOneBeginsInTheOldYear",
     kUtc,
     "weekly=2",
     {"2025-12-28T12:00:00Z", "2025-12-29T12:00:00Z", "2026-01-04T12:00:00Z"},
     "k.k"},
    {"WeekOneOfTwoYears", kUtc, "weekly=2", {"2025-01-01T12:00:00Z", "2026-01-01T12:00:00Z"}, "kk"},
    {"SundayAndMonday",
     kUtc,
     "weekly=2",
     {"2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z", "2026-11-29T23:59:59Z"},
     "k.k"},
    // Local time: the same moments are one day in Berlin, two in UTC.
    {"ADayInUtc", kUtc, "daily=1 last=1", {"2026-01-01T23:30:00Z", "2026-01-02T00:30:00Z"}, ".k"},
    {"TwoDaysInUtc",
     kUtc,
     "daily=2",
     {"2026-01-01T22:00:00Z", "2026-01-01T23:30:00Z", "2026-01-02T00:30:00Z"},
     ".kk"},
    {"OneDayInBerlin",
     kBerlin,
     "daily=2",
     {"2026-01-01T22:00:00Z", "2026-01-01T23:30:00Z", "2026-01-02T00:30:00Z"},
     "k.k"},
    {"NewYearInTokyo", kTokyo, "yearly=1", {"2025-12-31T15:00:00Z", "2026-06-01T00:00:00Z"}, ".k"},
    {"NewYearInTokyoASecondBefore",
     kTokyo,
     "yearly=2",
     {"2025-12-31T14:59:58Z", "2025-12-31T14:59:59Z", "2025-12-31T15:00:00Z"},
     ".kk"},
    // Clocks are set forward at 1:00 UTC on the 29th of March 2026: 1:59 is followed by 3:00.
    {"TheHourThatIsNotThere",
     kBerlin,
     "hourly=2",
     {"2026-03-29T00:30:00Z", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z"},
     ".kk"},
    {"TheShortDayIsOneDay",
     kBerlin,
     "daily=2",
     {"2026-03-28T22:59:59Z", "2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z"},
     "k.k"},
    {"TheDayAfterTheShortDay",
     kBerlin,
     "daily=2",
     {"2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z", "2026-03-29T22:00:00Z"},
     ".kk"},
    // They are set back at 1:00 UTC on the 25th of October 2026: 2:00 to 3:00 comes twice, and is one hour.
    {"TheHourThatComesTwice",
     kBerlin,
     "hourly=2",
     {"2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
     "k.k"},
    {"TheLongDayIsOneDay",
     kBerlin,
     "daily=2",
     {"2026-10-24T21:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"},
     "k.k"},
    {"TheLongDayInNewYork",
     kNewYork,
     "daily=2",
     {"2026-11-01T03:59:59Z", "2026-11-01T04:00:00Z", "2026-11-02T04:59:59Z"},
     "k.k"},
    // Equal times: the later one in the list is the newer.
    {"EqualTimes",
     kUtc,
     "last=1",
     {"2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"},
     "..k"},
    {"EqualTimesAndTheOldest",
     kUtc,
     "daily=2",
     {"2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"},
     "k.k"},
    // Clock set back: the one that was made last is older by its time.
    {"ClockSetBack",
     kUtc,
     "daily=1",
     {"2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z"},
     ".k."},
    {"ClockSetBackLast",
     kUtc,
     "last=2",
     {"2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z"},
     "kk."},
    // Spans, from the newest snapshot back; what is exactly so old is out.
    {"Within",
     kUtc,
     "within=2d",
     {"2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-03T00:00:00Z"},
     ".kk"},
    {"WithinIsFromTheNewestNotFromNow",
     kUtc,
     "within=1d",
     {"2020-01-01T12:00:00Z", "2020-01-02T00:00:00Z", "2020-01-02T01:00:00Z"},
     "kkk"},
    {"WithinNothingElse",
     kUtc,
     "within=1s",
     {"2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"},
     ".k"},
    {"WithinAMonth",
     kUtc,
     "within=1mo",
     {"2026-02-15T12:00:00Z", "2026-02-15T12:00:01Z", "2026-03-15T12:00:00Z"},
     ".kk"},
    // 24 hours before 12:00 on the short day is 11:00 of the day before, a day before is 12:00.
    {"WithinADayThatHas23Hours",
     kBerlin,
     "within=1d",
     {"2026-03-28T10:30:00Z", "2026-03-28T11:00:01Z", "2026-03-29T10:00:00Z"},
     ".kk"},
    {"Within24Hours",
     kBerlin,
     "within=24h",
     {"2026-03-28T10:00:00Z", "2026-03-28T10:30:00Z", "2026-03-29T10:00:00Z"},
     ".kk"},
    {"WithinHourly",
     kUtc,
     "within-hourly=2h",
     {"2026-01-01T07:59:00Z", "2026-01-01T08:10:00Z", "2026-01-01T09:10:00Z",
      "2026-01-01T09:20:00Z", "2026-01-01T10:00:00Z"},
     ".k.kk"},
    // The oldest of all is within, so it stays, as while a count is unfilled.
    {"WithinDailyKeepsTheOldestThatIsWithin",
     kUtc,
     "within-daily=7d",
     {"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-02T00:00:00Z"},
     "kkk"},
    {"WithinDailyDropsTheOldestThatIsOutside",
     kUtc,
     "within-daily=1d",
     {"2026-01-01T01:00:00Z", "2026-01-02T02:00:00Z", "2026-01-02T03:00:00Z"},
     "..k"},
    {"WithinWeekly",
     kUtc,
     "within-weekly=14d",
     {"2026-11-08T00:00:00Z", "2026-11-12T00:00:00Z", "2026-11-13T00:00:00Z",
      "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"},
     "..kkk"},
    {"WithinMonthly",
     kUtc,
     "within-monthly=1y",
     {"2025-05-01T00:00:00Z", "2025-07-01T00:00:00Z", "2025-07-02T00:00:00Z",
      "2026-06-01T00:00:00Z"},
     "..kk"},
    {"WithinYearly",
     kUtc,
     "within-yearly=2y",
     {"2023-01-01T00:00:00Z", "2024-08-01T00:00:00Z", "2024-09-01T00:00:00Z",
      "2025-01-01T00:00:00Z", "2026-06-01T00:00:00Z"},
     "..kkk"},
    // Dated after now: rules by time keep it, and see the others as if it were not there.
    {"FromTheFuture",
     kUtc,
     "daily=1",
     {"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2040-01-01T00:00:00Z"},
     ".kk",
     "2026-01-01T03:00:00Z"},
    {"FromTheFutureWithin",
     kUtc,
     "within=1h",
     {"2026-01-01T00:30:00Z", "2026-01-01T01:30:00Z", "2026-01-01T02:00:00Z",
      "2040-01-01T00:00:00Z"},
     ".kkk",
     "2026-01-01T03:00:00Z"},
    {"FromTheFutureAllInOneHour",
     kUtc,
     "hourly=1",
     {"2040-01-01T00:00:00Z", "2040-01-01T00:00:00.000000001Z", "2040-01-01T00:00:00.000000002Z"},
     "kkk",
     "2026-01-01T03:00:00Z"},
    {"FromTheFutureByCount",
     kUtc,
     "last=1",
     {"2026-01-01T01:00:00Z", "2040-01-01T00:00:00Z"},
     ".k",
     "2026-01-01T03:00:00Z"},
    {"NowIsNotTheFuture",
     kUtc,
     "daily=1",
     {"2026-01-01T01:00:00Z", "2026-01-01T03:00:00Z"},
     ".k",
     "2026-01-01T03:00:00Z"},
};

class KeepCases : public testing::TestWithParam<Case> {};

TEST_P(KeepCases, KeepsWhatItShould) {
  const Case& one = GetParam();
  const InTimeZone zone(one.zone);
  std::vector<int64_t> times;
  for (const std::string& time : one.times) times.push_back(At(time));
  EXPECT_EQ(Pattern(ReasonsToKeep(RulesOf(one.rules), times, At(one.now))), one.kept);
}

INSTANTIATE_TEST_SUITE_P(By, KeepCases, testing::ValuesIn(kCases),
                         [](const auto& one) { return one.param.name; });

TEST(KeepRulesTest, ThereAreFortyCasesByHand) { EXPECT_GE(std::size(kCases), 40U); }

TEST(KeepRulesTest, SaysWhy) {
  const InTimeZone zone(kUtc);
  const auto reasons = ReasonsToKeep(
      RulesOf("last=1 daily=3 within=1d12h within-yearly=1y"),
      {At("2026-01-01T01:00:00Z"), At("2026-01-01T02:00:00Z"), At("2026-01-03T02:00:00Z")},
      At("2026-01-03T03:00:00Z"));
  using Reasons = std::vector<std::string>;
  EXPECT_EQ(reasons.at(0), (Reasons{"oldest daily snapshot", "oldest yearly within 1y"}));
  EXPECT_EQ(reasons.at(1), (Reasons{"daily snapshot"}));
  EXPECT_EQ(reasons.at(2),
            (Reasons{"last snapshot", "daily snapshot", "within 1d12h", "yearly within 1y"}));
}

TEST(KeepRulesTest, WhichRulesAskForTheTime) {
  EXPECT_TRUE(KeepRules().IsEmpty());
  EXPECT_FALSE(RulesOf("last=1").IsEmpty());
  EXPECT_FALSE(RulesOf("last=1").GoByTime());
  for (const char* rules : {"hourly=1", "yearly=1", "within=1d", "within-yearly=1d"}) {
    EXPECT_FALSE(RulesOf(rules).IsEmpty());
    EXPECT_TRUE(RulesOf(rules).GoByTime());
  }
}

// --- Against a plain model ----------------------------------------------------------------------

constexpr const char* kFormats[] = {"", "%Y-%m-%d %H", "%Y-%m-%d", "%G-%V", "%Y-%m", "%Y"};

std::string NameOfPeriod(size_t period, int64_t time_ns, size_t index) {
  if (period == 0) return std::to_string(index);
  const time_t seconds = time_ns / 1'000'000'000;
  std::tm local{};
  localtime_r(&seconds, &local);
  std::ostringstream text;
  text << std::put_time(&local, kFormats[period]);
  return text.str();
}

// The same question, answered rule by rule: each goes through all periods by their names.
class Model {
 public:
  Model(const KeepRules& rules, std::vector<int64_t> times) : times_(std::move(times)) {
    for (size_t i = 0; i < times_.size(); ++i) by_age_.insert({times_[i], i});
    for (size_t period = 0; period < kPeriods; ++period) {
      if (rules.counts.at(period) != 0) Count(period, rules.counts.at(period));
      if (!rules.within.at(period).IsZero()) Within(period, rules.within.at(period));
    }
  }
  std::string Pattern() const {
    std::string pattern;
    for (size_t i = 0; i < times_.size(); ++i) pattern += kept_.contains(i) ? 'k' : '.';
    return pattern;
  }

 private:
  using Entry = std::pair<int64_t, size_t>;

  // The newest of each period that has one of these, by period, the newest period first.
  std::vector<size_t> NewestOfEach(size_t period, const std::set<Entry>& among) const {
    std::map<std::string, Entry> newest;
    for (const Entry& entry : among)
      newest[NameOfPeriod(period, entry.first, entry.second)] = entry;
    std::vector<Entry> entries;
    for (const auto& [name, entry] : newest) entries.push_back(entry);
    std::sort(entries.rbegin(), entries.rend());
    std::vector<size_t> found;
    for (const Entry& entry : entries) found.push_back(entry.second);
    return found;
  }

  void Count(size_t period, uint64_t count) {
    const std::vector<size_t> newest = NewestOfEach(period, by_age_);
    for (size_t i = 0; i < newest.size() && i < count; ++i) kept_.insert(newest[i]);
    if (newest.size() < count && !by_age_.empty()) kept_.insert(by_age_.begin()->second);
  }

  void Within(size_t period, const Span& span) {
    if (by_age_.empty()) return;
    const int64_t after = TimeBefore(by_age_.rbegin()->first, span);
    std::set<Entry> among;
    for (const Entry& entry : by_age_) {
      if (entry.first > after) among.insert(entry);
    }
    for (const size_t index : NewestOfEach(period, among)) kept_.insert(index);
    if (among.size() == by_age_.size()) kept_.insert(by_age_.begin()->second);
  }

  std::vector<int64_t> times_;
  std::set<Entry> by_age_;
  std::set<size_t> kept_;
};

class Dice {
 public:
  explicit Dice(unsigned int seed) : engine_(seed) {}
  int64_t Below(int64_t limit) {
    return std::uniform_int_distribution<int64_t>(0, limit - 1)(engine_);
  }

  std::vector<int64_t> Times() {
    constexpr int64_t kSteps[] = {1,      40,      1800,      3600,      40'000,
                                  86'400, 500'000, 3'000'000, 20'000'000};
    std::vector<int64_t> times;
    int64_t time_s = At("2019-01-01T00:00:00Z") / 1'000'000'000 + Below(300'000'000);
    const int64_t count = Below(60);
    const int64_t longest = kSteps[Below(std::size(kSteps))];
    for (int64_t i = 0; i < count; ++i) {
      time_s += Below(20) == 0 ? -Below(longest + 1) : Below(longest + 1);
      times.push_back(time_s * 1'000'000'000 + Below(2));
    }
    return times;
  }

  KeepRules Rules() {
    KeepRules rules;
    for (size_t period = 0; period < kPeriods; ++period) {
      if (Below(3) == 0) rules.counts.at(period) = Below(10) == 0 ? kUnlimited : 1 + Below(8);
      if (Below(5) == 0) {
        rules.within.at(period) = {
            .years = Below(2), .months = Below(3), .days = Below(9), .seconds = 1 + Below(90'000)};
      }
    }
    return rules;
  }

 private:
  std::mt19937 engine_;
};

TEST(KeepRulesTest, IsWhatAPlainModelSays) {
  for (const char* name : {kUtc, kBerlin, kNewYork, kTokyo}) {
    const InTimeZone zone(name);
    for (unsigned int seed = 0; seed < 1000; ++seed) {
      Dice dice(seed);
      const KeepRules rules = dice.Rules();
      const std::vector<int64_t> times = dice.Times();
      const auto reasons = ReasonsToKeep(rules, times, INT64_MAX);
      ASSERT_EQ(Pattern(reasons), Model(rules, times).Pattern()) << name << " seed " << seed;
    }
  }
}

// However the clock goes: rules that are there keep at least one, and a shorter list of rules keeps no more.
TEST(KeepRulesTest, AnyRuleKeepsSomething) {
  const InTimeZone zone(kBerlin);
  for (unsigned int seed = 0; seed < 1000; ++seed) {
    Dice dice(seed);
    const KeepRules rules = dice.Rules();
    const std::vector<int64_t> times = dice.Times();
    if (rules.IsEmpty() || times.empty()) continue;
    const int64_t now = times.at(times.size() / 2);
    ASSERT_NE(Pattern(ReasonsToKeep(rules, times, now)).find('k'), std::string::npos) << seed;
  }
}

}  // namespace
}  // namespace ckptfs
