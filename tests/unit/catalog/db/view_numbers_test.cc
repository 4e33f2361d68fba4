#include "catalog/db/view_numbers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <climits>
#include <map>
#include <set>

namespace ckptfs {
namespace {

using testing::Optional;

constexpr ViewRange kFour = {10, 13};

std::optional<uint64_t> Next(const ViewRange& range, uint64_t given,
                             const std::multiset<uint64_t>& used, const IsViewHeld& is_held = {}) {
  const auto visit_used = [&](uint64_t first, uint64_t last,
                              const std::function<bool(uint64_t)>& visit) {
    for (auto i = used.lower_bound(first); i != used.end() && *i <= last && visit(*i); ++i) {
    }
  };
  return NextFreeView(range, given, visit_used, is_held);
}

TEST(ViewNumbersTest, TheRangesAreOneBehindTheOther) {
  EXPECT_EQ(kViewRanges.front().first, 1U) << "0 is for what no volume holds";
  for (size_t i = 1; i < kViewRanges.size(); ++i) {
    EXPECT_EQ(kViewRanges[i].first, kViewRanges[i - 1].last + 1);
  }
  EXPECT_EQ(kViewRanges.back().last, kMaxView);
  for (const ViewRange& range : kViewRanges) {
    EXPECT_EQ(RangeOf(range.first).first, range.first);
    EXPECT_EQ(RangeOf(range.last).first, range.first);
  }
}

TEST(ViewNumbersTest, GoesRound) {
  EXPECT_THAT(Next(kFour, 9, {}), Optional(10));
  EXPECT_THAT(Next(kFour, 10, {}), Optional(11));
  EXPECT_THAT(Next(kFour, 13, {}), Optional(10));
}

TEST(ViewNumbersTest, LeavesOutWhatIsUsed) {
  EXPECT_THAT(Next(kFour, 9, {10, 11, 13}), Optional(12));
  EXPECT_THAT(Next(kFour, 12, {13}), Optional(10));
  EXPECT_THAT(Next(kFour, 12, {10, 10, 13}), Optional(11)) << "what two have is used once";
  EXPECT_THAT(Next(kFour, 11, {9, 10, 12, 13, 14}), Optional(11))
      << "the one given last, if need be";
  EXPECT_EQ(Next(kFour, 11, {10, 11, 12, 13}), std::nullopt);
}

TEST(ViewNumbersTest, LeavesOutWhatIsHeld) {
  const auto held = [](uint64_t view) { return view == 11 || view == 13; };
  EXPECT_THAT(Next(kFour, 10, {}, held), Optional(12));
  EXPECT_THAT(Next(kFour, 12, {}, held), Optional(10));
  EXPECT_THAT(Next(kFour, 12, {10}, held), Optional(12));
  EXPECT_EQ(Next(kFour, 12, {10, 12}, held), std::nullopt);
}

TEST(ViewNumbersTest, AMillionThatComeAndGoStayInTheirRange) {
  uint64_t given = kSnapshotViews.first - 1;
  std::map<uint64_t, int> times;
  int since_seen_min = INT_MAX;
  for (int i = 0; i < 1'000'000; ++i) {
    given = Next(kSnapshotViews, given, {5000}).value();
    ASSERT_GE(given, kSnapshotViews.first);
    ASSERT_LE(given, kSnapshotViews.last);
    if (const auto seen = times.find(given); seen != times.end()) {
      since_seen_min = std::min(since_seen_min, i - seen->second);
    }
    times[given] = i;
  }
  EXPECT_EQ(since_seen_min, 4095) << "each comes back after all others";
  EXPECT_FALSE(times.contains(5000));
}

}  // namespace
}  // namespace ckptfs
