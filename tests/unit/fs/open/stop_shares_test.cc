#include "fs/open/stop_shares.h"

#include <gtest/gtest.h>

namespace ckptfs {
namespace {

size_t TakeAll(StopShares& shares, int64_t workspace) {
  size_t taken = 0;
  while (shares.Take(workspace)) ++taken;
  return taken;
}

TEST(StopShares, OneWorkspaceHasItsShareAndNoMore) {
  StopShares shares;
  EXPECT_EQ(TakeAll(shares, 1), StopShares::kOfOneMax);
  EXPECT_FALSE(shares.Take(1));
  EXPECT_TRUE(shares.Take(2));
  shares.GiveBack(1);
  EXPECT_TRUE(shares.Take(1));
  EXPECT_FALSE(shares.Take(1));
}

// However many take what they can and give nothing back: the next still finds some.
TEST(StopShares, AQuietWorkspaceFindsSomeBesideAHundredGreedyOnes) {
  StopShares shares;
  constexpr int64_t kGreedy = 100;
  for (int64_t workspace = 1; workspace <= kGreedy; ++workspace) {
    EXPECT_GE(TakeAll(shares, workspace), StopShares::kOfOneMin) << workspace;
  }
  EXPECT_GE(TakeAll(shares, kGreedy + 1), StopShares::kOfOneMin);
  EXPECT_LE(shares.total(), StopShares::kOfAll + kGreedy * StopShares::kOfOneMin);
}

TEST(StopShares, AllTogetherHaveACeiling) {
  StopShares shares;
  for (int64_t workspace = 1; workspace <= 1000; ++workspace) TakeAll(shares, workspace);
  EXPECT_EQ(shares.total(), StopShares::kCeiling);
  EXPECT_FALSE(shares.Take(1001));
  shares.GiveBack(1);
  EXPECT_TRUE(shares.Take(1001));
}

TEST(StopShares, WhatNobodyHasTakenIsNotGivenBack) {
  StopShares shares;
  shares.GiveBack(1);
  EXPECT_EQ(shares.total(), 0U);
  EXPECT_TRUE(shares.Take(1));
  shares.GiveBack(1);
  shares.GiveBack(1);
  EXPECT_EQ(shares.total(), 0U);
}

}  // namespace
}  // namespace ckptfs
