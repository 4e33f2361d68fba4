#include "fs/nodes/descriptor_shares.h"

#include <gtest/gtest.h>

#include <vector>

namespace ckptfs {
namespace {

class DescriptorSharesTest : public ::testing::Test {
 protected:
  // As many as there can be had.
  std::vector<DescriptorClaim> TakeAll(uid_t user) {
    std::vector<DescriptorClaim> taken;
    while (true) {
      DescriptorClaim claim = shares_.Claim(user);
      if (!claim.valid()) return taken;
      taken.push_back(std::move(claim));
    }
  }

  uint64_t most_ = 1200;
  DescriptorShares shares_{[this] { return most_; }};
};

TEST_F(DescriptorSharesTest, OneAloneHasHalf) { EXPECT_EQ(TakeAll(1000).size(), 600); }

TEST_F(DescriptorSharesTest, RootHasAll) {
  const auto user = TakeAll(1000);
  EXPECT_EQ(TakeAll(0).size(), 600);
}

TEST_F(DescriptorSharesTest, ManyWhoWorkTogetherLeaveSomeForOneWhoComesNew) {
  std::vector<std::vector<DescriptorClaim>> taken;
  for (uid_t user = 1000; user < 1010; ++user) taken.push_back(TakeAll(user));
  EXPECT_GE(TakeAll(2000).size(), 1);
  // In turns, each gets as much as is left.
  taken.clear();
  std::vector<DescriptorClaim> by_turns;
  bool got_some = true;
  while (got_some) {
    got_some = false;
    for (uid_t user = 1000; user < 1009; ++user) {
      DescriptorClaim claim = shares_.Claim(user);
      if (!claim.valid()) continue;
      got_some = true;
      by_turns.push_back(std::move(claim));
    }
  }
  EXPECT_EQ(by_turns.size(), 1080);
  EXPECT_EQ(TakeAll(2000).size(), 60);
}

TEST_F(DescriptorSharesTest, WhatIsGivenBackCanBeHadAgain) {
  auto taken = TakeAll(1000);
  EXPECT_FALSE(shares_.Claim(1000).valid());
  taken.pop_back();
  EXPECT_TRUE(shares_.Claim(1000).valid());
  taken.clear();
  EXPECT_EQ(TakeAll(1000).size(), 600);
}

TEST_F(DescriptorSharesTest, WhatIsPassedOnCountsForTheOther) {
  auto taken = TakeAll(1000);
  for (DescriptorClaim& claim : taken) claim.PassTo(2000);
  EXPECT_FALSE(shares_.Claim(2000).valid());
  EXPECT_TRUE(shares_.Claim(1000).valid());
}

TEST_F(DescriptorSharesTest, ALimitThatIsLoweredTakesNothingAway) {
  const auto taken = TakeAll(1000);
  most_ = 100;
  EXPECT_FALSE(shares_.Claim(2000).valid());
  EXPECT_FALSE(shares_.Claim(0).valid());
}

}  // namespace
}  // namespace ckptfs
