#include "fs/open/small_files.h"

#include <gtest/gtest.h>

#include <vector>

namespace ckptfs {
namespace {

TEST(SmallFiles, RemembersAndForgets) {
  SmallFiles files(1);
  const NodeId node = MakeNumber(7, 1234);
  EXPECT_FALSE(files.Contains(node));
  files.Add(node);
  files.Add(node);
  EXPECT_TRUE(files.Contains(node));
  EXPECT_FALSE(files.Contains(MakeNumber(8, 1234)));
  files.Remove(node);
  EXPECT_FALSE(files.Contains(node));
}

// Relatime wants a read of each that comes to the file underneath once a day.
TEST(SmallFiles, ForgetsAllOnceAnHour) {
  constexpr int64_t kStart = 1'000'000;
  SmallFiles files(1);
  const NodeId node = MakeNumber(7, 1234);
  files.DropOld(kStart);
  files.Add(node);
  files.DropOld(kStart + 3599);
  EXPECT_TRUE(files.Contains(node));
  files.DropOld(kStart + 3600);
  EXPECT_FALSE(files.Contains(node));
  files.Add(node);
  files.DropOld(kStart + 3601);
  EXPECT_TRUE(files.Contains(node));
}

TEST(SmallFiles, KeepsAWholeTreeOfNeighbours) {
  constexpr uint64_t kFiles = 20'000;
  SmallFiles files(1);
  for (uint64_t i = 0; i < kFiles; ++i) files.Add(MakeNumber(3, 300 + i));
  for (uint64_t i = 0; i < kFiles; ++i) ASSERT_TRUE(files.Contains(MakeNumber(3, 300 + i))) << i;
}

// As the table of inodes has them.
TEST(SmallFiles, ShardsKeepNoLess) {
  constexpr uint64_t kFiles = 20'000;
  constexpr size_t kShards = 16;
  std::vector<SmallFiles> shards(kShards, SmallFiles(kShards));
  for (uint64_t i = 0; i < kFiles; ++i)
    shards[(3 ^ (300 + i)) % kShards].Add(MakeNumber(3, 300 + i));
  for (uint64_t i = 0; i < kFiles; ++i) {
    ASSERT_TRUE(shards[(3 ^ (300 + i)) % kShards].Contains(MakeNumber(3, 300 + i))) << i;
  }
}

// The memory is fixed: of more than fit some are lost, and none is ever mistaken for another.
TEST(SmallFiles, OverflowLosesOnlyWhatWasAdded) {
  constexpr uint64_t kFiles = 1'000'000;
  SmallFiles files(1);
  for (uint64_t i = 0; i < kFiles; ++i) files.Add(MakeNumber(1, 2 * i));
  uint64_t kept = 0;
  for (uint64_t i = 0; i < kFiles; ++i) {
    kept += files.Contains(MakeNumber(1, 2 * i)) ? 1 : 0;
    ASSERT_FALSE(files.Contains(MakeNumber(1, 2 * i + 1)));
  }
  EXPECT_GT(kept, 0U);
  EXPECT_LT(kept, kFiles);
}

}  // namespace
}  // namespace ckptfs
