#include "backend/base/right_of_way.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>

namespace ckptfs {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong = 10 * RightOfWay::kHeldMax;

TEST(RightOfWayTest, WhereNobodyHasItNobodyWaits) {
  RightOfWay way;
  EXPECT_EQ(way.GiveWay(kLong), milliseconds(0));
}

TEST(RightOfWayTest, WhoGivesWayGoesOnWhenItIsGivenBack) {
  RightOfWay way;
  auto held = std::make_unique<RightOfWay::Held>(way);
  std::atomic<bool> given_back = false;
  std::thread holder([&] {
    std::this_thread::sleep_for(milliseconds(20));
    given_back = true;
    held.reset();
  });
  const auto waited = way.GiveWay(kLong);
  EXPECT_TRUE(given_back || waited >= milliseconds(80));  // or that thread came too late
  EXPECT_LT(waited, kLong);
  holder.join();
}

TEST(RightOfWayTest, WhoHasItForLongHasItNoMore) {
  RightOfWay way;
  const RightOfWay::Held held(way);
  EXPECT_LT(way.GiveWay(kLong), kLong);
  EXPECT_LT(way.GiveWay(kLong), RightOfWay::kHeldMax);
}

TEST(RightOfWayTest, NobodyWaitsLongerThanHeSays) {
  RightOfWay way;
  const RightOfWay::Held held(way);
  const auto waited = way.GiveWay(milliseconds(10));
  EXPECT_GE(waited, milliseconds(10));
  EXPECT_LT(waited, RightOfWay::kHeldMax);
}

// Each of a stream of holders begins before the one before it has ended.
TEST(RightOfWayTest, NobodyWaitsForThoseWhoComeLater) {
  RightOfWay way;
  std::atomic<bool> stop = false;
  auto held = std::make_unique<RightOfWay::Held>(way);
  std::thread holders([&] {
    while (!stop) {
      std::this_thread::sleep_for(milliseconds(10));
      auto next = std::make_unique<RightOfWay::Held>(way);
      held = std::move(next);
    }
  });
  EXPECT_LT(way.GiveWay(kLong), kLong);
  stop = true;
  holders.join();
}

}  // namespace
}  // namespace ckptfs
