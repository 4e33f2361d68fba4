#include "backend/base/work_limits.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

constexpr size_t kMuch = size_t{1} << 20;

// Counts what it was asked for.
class CountedLimits : public WorkLimits {
 public:
  void RequireWanted() override {}
  void Take(size_t bytes) override {
    held += bytes;
    ++asked;
  }
  void Give(size_t bytes) noexcept override { held -= bytes; }

  size_t held = 0;
  int asked = 0;
};

TEST(FixedLimitsTest, NoMoreThanThereIsCanBeTaken) {
  FixedLimits limits(100);
  limits.Take(60);
  EXPECT_EQ(ErrorOf([&] { limits.Take(41); }).errno_value(), E2BIG);
  limits.Take(40);
  limits.Give(60);
  limits.Take(60);
  EXPECT_THROW(limits.Take(1), LimitError);
}

TEST(HeldBytesTest, LimitsAreAskedSeldomAndForAllThatIsHeld) {
  CountedLimits limits;
  {
    HeldBytes held(limits);
    for (int i = 0; i < 1000; ++i) {
      held.Add(100);
      EXPECT_GE(limits.held, static_cast<size_t>(i + 1) * 100);
    }
    EXPECT_LT(limits.asked, 10);
  }
  EXPECT_EQ(limits.held, 0U);
}

TEST(HeldBytesTest, WhatIsRemovedCanBeAddedAgainWithoutAsking) {
  CountedLimits limits;
  HeldBytes held(limits);
  held.Add(kMuch);
  const int asked = limits.asked;
  held.Remove(kMuch / 2);
  held.Add(kMuch / 2);
  EXPECT_EQ(limits.asked, asked);
  held.Remove(2 * kMuch);  // more than there is
  held.Add(kMuch);
  EXPECT_EQ(limits.asked, asked);
  held.Clear();
  EXPECT_EQ(limits.held, 0U);
  held.Add(1);
  EXPECT_EQ(limits.asked, asked + 1);
}

TEST(HeldBytesTest, WhoTakesThemOverGivesThemBack) {
  CountedLimits limits;
  {
    HeldBytes first(limits);
    first.Add(kMuch);
    const HeldBytes second(std::move(first));
    EXPECT_GE(limits.held, kMuch);
  }
  EXPECT_EQ(limits.held, 0U);
}

TEST(HeldBytesTest, WhatIsRefusedIsNotHeld) {
  FixedLimits limits(kMuch);
  HeldBytes held(limits);
  EXPECT_THROW(held.Add(2 * kMuch), LimitError);
  held.Add(kMuch / 2);
  held.Clear();
  limits.Take(kMuch);  // all of it is there
}

}  // namespace
}  // namespace ckptfs
