#include "catalog/policies/keep_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iomanip>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "tests/unit/catalog/policies/rules_text.h"
#include "tests/unit/catalog/policies/time_zone.h"

namespace ckptfs {
namespace {

using rules_text::At;
using rules_text::Pattern;
using rules_text::RulesOf;

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
    std::set<Entry, std::greater<>> entries;
    for (const auto& [name, entry] : newest) entries.insert(entry);
    std::vector<size_t> found(entries.size());
    std::transform(entries.begin(), entries.end(), found.begin(),
                   [](const Entry& entry) { return entry.second; });
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
