#include "fs/open/pieces.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

namespace ckptfs {
namespace {

using std::chrono::milliseconds;
using Clock = RightOfWay::Clock;

void Work(milliseconds time) { std::this_thread::sleep_for(time); }

Clock::duration TimeOf(Pieces& pieces) {
  const auto begin = Clock::now();
  pieces.Do([] {});
  return Clock::now() - begin;
}

TEST(PiecesTest, BecomeSmallerWhereTheyTakeLong) {
  Pieces pieces(nullptr);
  pieces.Do([] { Work(milliseconds(10)); });
  EXPECT_LT(pieces.bytes(), Pieces::kFirstBytes);
  EXPECT_TRUE(pieces.is_long());
}

TEST(PiecesTest, BecomeLargerWhereTheyTakeNoTime) {
  Pieces pieces(nullptr);
  pieces.Do([] {});
  EXPECT_GT(pieces.bytes(), Pieces::kFirstBytes);
  EXPECT_FALSE(pieces.is_long());
}

TEST(PiecesTest, WhatTakesLongGivesWay) {
  RightOfWay way;
  Pieces pieces(&way);
  pieces.Do([] { Work(milliseconds(40)); });
  auto held = std::make_unique<RightOfWay::Held>(way);
  std::thread checkpoint([&] {
    Work(milliseconds(20));
    held.reset();
  });
  EXPECT_GE(TimeOf(pieces), milliseconds(15));
  checkpoint.join();
}

TEST(PiecesTest, ForNoLongerThanItHasWorked) {
  RightOfWay way;
  Pieces pieces(&way);
  pieces.Do([] { Work(milliseconds(20)); });
  const RightOfWay::Held held(way);
  EXPECT_LT(TimeOf(pieces), RightOfWay::kHeldMax);
}

TEST(PiecesTest, WhatTakesNoTimeDoesNotGiveWay) {
  RightOfWay way;
  Pieces pieces(&way);
  const RightOfWay::Held held(way);
  for (int i = 0; i < 3; ++i) EXPECT_LT(TimeOf(pieces), milliseconds(50));
}

}  // namespace
}  // namespace ckptfs
