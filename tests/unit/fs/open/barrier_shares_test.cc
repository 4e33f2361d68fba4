#include "fs/open/barrier_shares.h"

#include <gtest/gtest.h>

namespace ckptfs {
namespace {

size_t TakeAll(BarrierShares& shares, int64_t workspace) {
  size_t taken = 0;
  while (shares.Take(workspace)) ++taken;
  return taken;
}

TEST(BarrierShares, OneWorkspaceHasItsShareAndNoMore) {
  BarrierShares shares;
  EXPECT_EQ(TakeAll(shares, 1), BarrierShares::kOfOneMax);
  EXPECT_FALSE(shares.Take(1));
  EXPECT_TRUE(shares.Take(2));
  shares.GiveBack(1);
  EXPECT_TRUE(shares.Take(1));
  EXPECT_FALSE(shares.Take(1));
}

// However many take what they can and give nothing back: the next still finds some.
TEST(BarrierShares, AQuietWorkspaceFindsSomeBesideAHundredGreedyOnes) {
  BarrierShares shares;
  constexpr int64_t kGreedy = 100;
  for (int64_t workspace = 1; workspace <= kGreedy; ++workspace) {
    EXPECT_GE(TakeAll(shares, workspace), BarrierShares::kOfOneMin) << workspace;
  }
  EXPECT_GE(TakeAll(shares, kGreedy + 1), BarrierShares::kOfOneMin);
  EXPECT_LE(shares.total(), BarrierShares::kOfAll + kGreedy * BarrierShares::kOfOneMin);
}

TEST(BarrierShares, AllTogetherHaveACeiling) {
  BarrierShares shares;
  for (int64_t workspace = 1; workspace <= 1000; ++workspace) TakeAll(shares, workspace);
  EXPECT_EQ(shares.total(), BarrierShares::kCeiling);
  EXPECT_FALSE(shares.Take(1001));
  shares.GiveBack(1);
  EXPECT_TRUE(shares.Take(1001));
}

TEST(BarrierShares, WhatNobodyHasTakenIsNotGivenBack) {
  BarrierShares shares;
  shares.GiveBack(1);
  EXPECT_EQ(shares.total(), 0U);
  EXPECT_TRUE(shares.Take(1));
  shares.GiveBack(1);
  shares.GiveBack(1);
  EXPECT_EQ(shares.total(), 0U);
}

}  // namespace
}  // namespace ckptfs
