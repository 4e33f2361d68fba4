#include "fs/operations/automatic_due.h"

#include <gtest/gtest.h>

namespace ckptfs {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kHour = 3600 * kSecond;
constexpr int64_t kYear = int64_t{365} * 24 * kHour;
// Any time of day and uptime.
constexpr int64_t kWall = 56 * kYear;
constexpr int64_t kUp = 5 * kHour;

Clocks At(int64_t wall_ns, int64_t up_ns) { return {.wall_ns = wall_ns, .up_ns = up_ns}; }

TEST(IsDueTest, WhatWasNeverDoneIsDue) { EXPECT_TRUE(IsDue(kHour, {}, At(kWall, kUp))); }

TEST(IsDueTest, TheBorderIsExact) {
  const LastRun in_this_mount{.up_ns = kUp, .wall_ns = kWall};
  EXPECT_FALSE(IsDue(kHour, in_this_mount, At(kWall, kUp + kHour - 1)));
  EXPECT_TRUE(IsDue(kHour, in_this_mount, At(kWall, kUp + kHour)));
  const LastRun before{.up_ns = {}, .wall_ns = kWall};
  EXPECT_FALSE(IsDue(kHour, before, At(kWall + kHour - 1, kUp)));
  EXPECT_TRUE(IsDue(kHour, before, At(kWall + kHour, kUp)));
}

TEST(IsDueTest, AMountGoesOnFromWhatWasRecorded) {
  EXPECT_FALSE(IsDue(kHour, {.up_ns = {}, .wall_ns = kWall}, At(kWall + kSecond, 0)));
  EXPECT_TRUE(IsDue(kHour, {.up_ns = {}, .wall_ns = kWall}, At(kWall + kYear, 0)));
}

// With the clock set while it is mounted: uptime decides.
TEST(IsDueTest, ASetClockNeitherStopsItNorMakesItRunInALoop) {
  for (const int64_t jump : {-50 * kYear, -kHour, kHour, 50 * kYear}) {
    const LastRun last{.up_ns = kUp, .wall_ns = kWall};
    EXPECT_FALSE(IsDue(kHour, last, At(kWall + jump, kUp + kHour - 1))) << jump;
    EXPECT_TRUE(IsDue(kHour, last, At(kWall + jump, kUp + kHour))) << jump;
  }
}

// The last run was while the clock was far ahead, or the clock is wrong now: one run, and then by uptime.
TEST(IsDueTest, ARecordedTimeInTheFutureMakesAMountsFirstRunDue) {
  EXPECT_TRUE(IsDue(kHour, {.up_ns = {}, .wall_ns = kWall + kYear}, At(kWall, kUp)));
  EXPECT_TRUE(IsDue(kHour, {.up_ns = {}, .wall_ns = kWall + 1}, At(kWall, kUp)));
  EXPECT_FALSE(IsDue(kHour, {.up_ns = {}, .wall_ns = kWall}, At(kWall, kUp)));
  EXPECT_FALSE(IsDue(kHour, {.up_ns = kUp, .wall_ns = kWall + kYear}, At(kWall, kUp + 1)));
}

TEST(IsDueTest, TheLongestSpansDoNotOverflow) {
  const int64_t longest = 201 * kYear;
  EXPECT_FALSE(IsDue(longest, {.up_ns = {}, .wall_ns = 0}, At(kWall, kUp)));
  EXPECT_TRUE(IsDue(longest, {.up_ns = {}, .wall_ns = 0}, At(270 * kYear, kUp)));
}

class DueNowTest : public testing::Test {
 protected:
  AutomaticDue Due(const SettingMap& settings, const AutomaticRunTimes& last) {
    return DueNow(Settings({}, settings), last, At(kWall, kUp));
  }
};

TEST_F(DueNowTest, NothingIsByDefault) {
  EXPECT_FALSE(Due({}, {}).cleanup);
  EXPECT_FALSE(Due({}, {}).checkpoint);
  EXPECT_FALSE(Due({{kCleanupAuto, "off"}, {kSchedule, "off"}}, {}).cleanup);
  EXPECT_FALSE(Due({{kCleanupInterval, "5s"}, {"keep.last", "1"}}, {}).cleanup);
}

TEST_F(DueNowTest, CleanupGoesByItsInterval) {
  AutomaticRunTimes last;
  last.cleanup.up_ns = kUp - kHour + 1;
  EXPECT_FALSE(Due({{kCleanupAuto, "on"}}, last).cleanup);
  EXPECT_TRUE(Due({{kCleanupAuto, "on"}, {kCleanupInterval, "59min"}}, last).cleanup);
  last.cleanup.up_ns = kUp - kHour;
  EXPECT_TRUE(Due({{kCleanupAuto, "on"}}, last).cleanup);
  EXPECT_FALSE(Due({{kCleanupAuto, "on"}}, last).checkpoint);
}

TEST_F(DueNowTest, ACheckpointIsDueOnceBothTheLookAndTheNewestAreThatOld) {
  const SettingMap hourly{{kSchedule, "1h"}};
  AutomaticRunTimes last{.cleanup = {}, .looked_up_ns = {}, .newest_checkpoint_ns = {}};
  EXPECT_TRUE(Due(hourly, last).checkpoint);
  last.newest_checkpoint_ns = kWall - kHour + 1;
  EXPECT_FALSE(Due(hourly, last).checkpoint) << "somebody has just made one";
  last.newest_checkpoint_ns = kWall - kHour;
  EXPECT_TRUE(Due(hourly, last).checkpoint);
  last.looked_up_ns = kUp - kHour + 1;
  EXPECT_FALSE(Due(hourly, last).checkpoint) << "nothing had changed a while ago";
  last.newest_checkpoint_ns = kWall + kYear;
  EXPECT_FALSE(Due(hourly, last).checkpoint) << "one from the future makes no loop";
  last.looked_up_ns = kUp - kHour;
  EXPECT_TRUE(Due(hourly, last).checkpoint) << "and does not stop it";
}

TEST(SeenLongAgoTest, TellsWhatHasBeenThereForThatLong) {
  SeenLongAgo seen;
  EXPECT_EQ(seen.Look(7, kHour, kUp), 0);
  EXPECT_EQ(seen.Look(9, kHour, kUp + kHour - 1), 0);
  EXPECT_EQ(seen.Look(9, kHour, kUp + kHour), 7);
  EXPECT_EQ(seen.Look(12, kHour, kUp + 2 * kHour - 1), 7);
  EXPECT_EQ(seen.Look(12, kHour, kUp + 2 * kHour), 9);
}

TEST(SeenLongAgoTest, ALongerAgeBeginsAnew) {
  SeenLongAgo seen;
  seen.Look(7, kSecond, kUp);
  EXPECT_EQ(seen.Look(8, kSecond, kUp + kSecond), 7);
  EXPECT_EQ(seen.Look(8, kHour, kUp + 2 * kSecond), 0);
  EXPECT_EQ(seen.Look(9, kHour, kUp + kHour), 0);
  EXPECT_EQ(seen.Look(9, kHour, kUp + 2 * kSecond + kHour), 8);
}

}  // namespace
}  // namespace ckptfs
