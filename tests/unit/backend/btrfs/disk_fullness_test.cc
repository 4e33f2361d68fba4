#include "backend/btrfs/disk_fullness.h"

#include <gtest/gtest.h>

#include "backend/base/units.h"

namespace ckptfs {
namespace {

using std::chrono::seconds;
using Clock = DiskFullness::Clock;

constexpr uint64_t kTotal = 400 * kMiB;  // of which 8 MiB are kept free

class DiskFullnessTest : public testing::Test {
 protected:
  void Note(int at_s, uint64_t free, bool has_stopped = false, uint64_t total = kTotal) {
    fullness_.Note({.total = total, .used = 0, .free = free}, has_stopped, At(at_s));
  }
  static Clock::time_point At(int at_s) { return Clock::time_point{} + seconds(at_s); }

  DiskFullness fullness_;
};

TEST_F(DiskFullnessTest, CountsHowOftenItRanFull) {
  Note(1, 2 * kMiB);
  EXPECT_EQ(fullness_.times(), 0u);
  Note(2, 2 * kMiB - 1);
  Note(3, 0);
  EXPECT_EQ(fullness_.times(), 1u);
  EXPECT_EQ(fullness_.since(), At(2));
  Note(4, 2 * kMiB);
  EXPECT_EQ(fullness_.since(), Clock::time_point::max());
  Note(5, 0);
  EXPECT_EQ(fullness_.times(), 2u);
  EXPECT_EQ(fullness_.since(), At(5));
}

TEST_F(DiskFullnessTest, ADiskWithoutALimitIsNeverFull) {
  Note(1, 0, false, 0);
  EXPECT_EQ(fullness_.times(), 0u);
}

TEST_F(DiskFullnessTest, CausesAStopThatFollowsSoon) {
  Note(1, 0);
  Note(2, kTotal / 2);
  EXPECT_FALSE(fullness_.has_stopped_filesystem());
  Note(61, kTotal / 2, true);
  EXPECT_TRUE(fullness_.has_stopped_filesystem());
}

TEST_F(DiskFullnessTest, CausesNoStopThatFollowsLater) {
  Note(1, 0);
  Note(2, kTotal / 2);
  Note(62, kTotal / 2, true);
  EXPECT_FALSE(fullness_.has_stopped_filesystem());
}

TEST_F(DiskFullnessTest, WhatIsFullAfterTheStopDidNotCauseIt) {
  Note(1, kTotal / 2, true);
  Note(2, 0, true);
  EXPECT_FALSE(fullness_.has_stopped_filesystem());
  EXPECT_EQ(fullness_.times(), 0u);
}

TEST_F(DiskFullnessTest, WhatIsFreedAfterTheStopDoesNotHideTheCause) {
  Note(1, 0, true);
  Note(100, kTotal / 2, true);
  EXPECT_TRUE(fullness_.has_stopped_filesystem());
}

}  // namespace
}  // namespace ckptfs
