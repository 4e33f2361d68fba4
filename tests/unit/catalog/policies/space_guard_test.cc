#include "catalog/policies/space_guard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>

namespace ckptfs {
namespace {

constexpr uint64_t kMebi = uint64_t{1} << 20;
constexpr uint64_t kGibi = uint64_t{1} << 30;

// The first value is short, the second low, the third enough: each one byte above the one before.
struct Border {
  const char* about;
  uint64_t total;
  uint64_t metadata;
  uint64_t hard;
  uint64_t soft;
};

constexpr std::array kBorders = {
    Border{"2% and 10% of a small disk", 400 * kMebi, 0, 8 * kMebi, 40 * kMebi},
    Border{"metadata needs more than 2%", 400 * kMebi, 32 * kMebi, 32 * kMebi, 40 * kMebi},
    Border{"metadata needs more than 10%", 100 * kMebi, 16 * kMebi, 16 * kMebi, 16 * kMebi},
    Border{"where 2% become 1 GiB", 50 * kGibi, 0, kGibi, 5 * kGibi},
    Border{"where 10% were 5 GiB already", 60 * kGibi, 0, kGibi, 5 * kGibi},
    Border{"a large disk", 16384 * kGibi, 64 * kMebi, kGibi, 5 * kGibi},
    Border{"metadata needs more than 1 GiB", 16384 * kGibi, 3 * kGibi, 3 * kGibi, 5 * kGibi},
    Border{"less than a whole byte is 2%", 49, 0, 0, 5},
    Border{"a tenth is no whole byte: 10 of 101 are less than it", 101, 0, 2, 11},
    Border{"a tenth is a whole byte: 10 of 100 are not less", 100, 0, 2, 10},
    Border{"the largest number", UINT64_MAX, 0, kGibi, 5 * kGibi},
};

TEST(SpaceGuardTest, ExactlyAtTheBorders) {
  for (const Border& border : kBorders) {
    SCOPED_TRACE(border.about);
    const SpaceFloors floors = FloorsOfDisk(border.total, border.metadata);
    EXPECT_EQ(floors.hard_bytes, border.hard);
    EXPECT_EQ(floors.soft_bytes, border.soft);
    const auto judge = [&](uint64_t free) { return JudgeSpace(free, border.total, floors); };
    if (border.hard > 0) {
      EXPECT_EQ(judge(border.hard - 1), SpaceVerdict::kShort);
      EXPECT_EQ(judge(0), SpaceVerdict::kShort);
    }
    EXPECT_NE(judge(border.hard), SpaceVerdict::kShort);
    if (border.soft > border.hard) {
      EXPECT_EQ(judge(border.hard), SpaceVerdict::kLow);
      EXPECT_EQ(judge(border.soft - 1), SpaceVerdict::kLow);
    }
    EXPECT_EQ(judge(border.soft), SpaceVerdict::kEnough);
    EXPECT_EQ(judge(border.total), SpaceVerdict::kEnough);
  }
}

TEST(SpaceGuardTest, ADiskWithoutALimit) {
  const SpaceFloors floors = FloorsOfDisk(0, 64 * kMebi);
  EXPECT_EQ(JudgeSpace(0, 0, floors), SpaceVerdict::kEnough);
}

class RandomSpace {
 public:
  // Of any order of magnitude, as what matters is between bytes and terabytes.
  uint64_t Bytes() { return numbers_() >> shift_(numbers_); }
  // Often near `border`.
  uint64_t Near(uint64_t border) {
    const uint64_t off = numbers_() % 4;
    switch (numbers_() % 3) {
      case 0:
        return border + off < border ? border : border + off;
      case 1:
        return border < off ? 0 : border - off;
      default:
        return Bytes();
    }
  }

 private:
  std::mt19937_64 numbers_{20};
  std::uniform_int_distribution<int> shift_{0, 63};
};

TEST(SpaceGuardTest, NeverStricterWithMoreFreeSpace) {
  RandomSpace random;
  std::array<size_t, 3> seen{};
  for (int i = 0; i < 200'000; ++i) {
    const uint64_t total = random.Bytes();
    const SpaceFloors floors = FloorsOfDisk(total, random.Bytes());
    ASSERT_LE(floors.hard_bytes, floors.soft_bytes);
    uint64_t less = random.Near(floors.hard_bytes);
    uint64_t more = random.Near(floors.soft_bytes);
    if (less > more) std::swap(less, more);
    const SpaceVerdict with_less = JudgeSpace(less, total, floors);
    const SpaceVerdict with_more = JudgeSpace(more, total, floors);
    ASSERT_LE(with_more, with_less) << less << " and " << more << " of " << total;
    ++seen.at(static_cast<size_t>(with_less));
    ++seen.at(static_cast<size_t>(with_more));
  }
  for (const size_t count : seen) EXPECT_GT(count, 1000u);
}

}  // namespace
}  // namespace ckptfs
