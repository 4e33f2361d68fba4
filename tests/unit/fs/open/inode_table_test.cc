// The books alone: of files that may be mapped, and of orphans.
#include "fs/open/inode_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ckptfs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr Slot kSlot = 3;
NodeId NodeAt(Slot slot, uint64_t inode) { return MakeNumber(slot, inode); }

class InodeTableTest : public ::testing::Test {
 protected:
  void CloseByWriter(NodeId node) {
    InodeTable::Shard& shard = inodes_.ShardOf(node);
    const MutexLock lock(shard.mutex);
    inodes_.NoteMaybeMapped(shard, node, shard.inodes[node]);
  }
  void SetLink(NodeId node, Orphan::Link link) {
    InodeTable::Shard& shard = inodes_.ShardOf(node);
    const MutexLock lock(shard.mutex);
    inodes_.SetLink(shard, node, shard.inodes[node], link);
  }
  bool HasRecord(NodeId node) {
    InodeTable::Shard& shard = inodes_.ShardOf(node);
    const MutexLock lock(shard.mutex);
    return InodeTable::Find(shard, node) != nullptr;
  }

  InodeTable inodes_;
};

TEST_F(InodeTableTest, TellsTheMappedFilesOfOneSlot) {
  for (const Slot slot : {kSlot + 1, kSlot, kSlot - 1}) {
    CloseByWriter(NodeAt(slot, 300));
    CloseByWriter(NodeAt(slot, 1));
  }
  EXPECT_THAT(inodes_.MaybeMappedOf(kSlot),
              UnorderedElementsAre(NodeAt(kSlot, 1), NodeAt(kSlot, 300)));
  EXPECT_THAT(inodes_.MaybeMappedOf(kSlot + 2), IsEmpty());
}

TEST_F(InodeTableTest, NewMappedFilesComeAtOnceAndOldOnesInTheirTurn) {
  EXPECT_THAT(inodes_.NextMaybeMapped(2), IsEmpty());
  for (const uint64_t inode : {3, 1, 2}) CloseByWriter(NodeAt(kSlot, inode));
  EXPECT_THAT(inodes_.NextMaybeMapped(0),
              UnorderedElementsAre(NodeAt(kSlot, 3), NodeAt(kSlot, 1), NodeAt(kSlot, 2)));
  const std::vector<NodeId> round = inodes_.NextMaybeMapped(3);
  ASSERT_THAT(round, UnorderedElementsAre(NodeAt(kSlot, 3), NodeAt(kSlot, 1), NodeAt(kSlot, 2)));
  EXPECT_THAT(inodes_.NextMaybeMapped(2), ElementsAre(round[0], round[1]));
  EXPECT_THAT(inodes_.NextMaybeMapped(2), ElementsAre(round[2], round[0]));
  inodes_.NotMapped(round[0], inodes_.MaybeMapped(round[0]));
  EXPECT_THAT(inodes_.NextMaybeMapped(9), ElementsAre(round[1], round[2]));
}

// Those of one shard too.
TEST_F(InodeTableTest, EachMappedFileHasItsTurn) {
  constexpr uint64_t kFiles = 100;
  for (uint64_t i = 0; i < kFiles; ++i) CloseByWriter(NodeAt(kSlot + i % 3, 16 * i));
  inodes_.NextMaybeMapped(0);
  std::set<NodeId> seen;
  for (uint64_t i = 0; i < kFiles / 10; ++i) {
    for (const NodeId node : inodes_.NextMaybeMapped(10)) {
      EXPECT_TRUE(seen.insert(node).second) << "before the others had theirs";
    }
  }
  EXPECT_EQ(seen.size(), kFiles);
}

TEST_F(InodeTableTest, AMappingIsNotTakenOutByAnOlderLook) {
  const NodeId node = NodeAt(kSlot, 1);
  CloseByWriter(node);
  const uint64_t looked = inodes_.MaybeMapped(node);
  CloseByWriter(node);
  inodes_.NotMapped(node, looked);
  EXPECT_NE(inodes_.MaybeMapped(node), 0U);
  EXPECT_EQ(inodes_.mappings_ended(), 0U);
  inodes_.NotMapped(node, inodes_.MaybeMapped(node));
  EXPECT_FALSE(inodes_.has_maybe_mapped());
  EXPECT_EQ(inodes_.mappings_ended(), 1U);
  EXPECT_FALSE(HasRecord(node));
}

TEST_F(InodeTableTest, CountsOrphansByWhatACheckpointHasToDo) {
  using Link = Orphan::Link;
  SetLink(NodeAt(kSlot, 1), Link::kNotNeeded);
  EXPECT_FALSE(inodes_.has_orphans());
  EXPECT_TRUE(inodes_.has_nameless());
  SetLink(NodeAt(kSlot, 1), Link::kImpossible);
  SetLink(NodeAt(kSlot, 2), Link::kPossible);
  SetLink(NodeAt(kSlot + 1, 3), Link::kPossible);
  EXPECT_TRUE(inodes_.has_orphans());
  EXPECT_THAT(inodes_.WithoutLink(kSlot), UnorderedElementsAre(NodeAt(kSlot, 1), NodeAt(kSlot, 2)));
  SetLink(NodeAt(kSlot, 2), Link::kThere);
  EXPECT_THAT(inodes_.WithoutLink(kSlot), ElementsAre(NodeAt(kSlot, 1)));
  EXPECT_EQ(inodes_.CountLinked(kSlot), 1U);
  EXPECT_EQ(inodes_.CountLinked(kSlot + 1), 0U);
  for (const NodeId node : {NodeAt(kSlot, 1), NodeAt(kSlot, 2), NodeAt(kSlot + 1, 3)}) {
    InodeTable::Shard& shard = inodes_.ShardOf(node);
    const MutexLock lock(shard.mutex);
    inodes_.EndOrphan(shard, node, shard.inodes.at(node));
    InodeTable::RemoveIfUnused(shard, node);
    EXPECT_TRUE(shard.of_slot.empty());
    EXPECT_TRUE(shard.inodes.empty());
  }
  EXPECT_FALSE(inodes_.has_nameless());
}

TEST_F(InodeTableTest, WhatWasOnlyKeptForASlotEndsWithIt) {
  using Link = Orphan::Link;
  SetLink(NodeAt(kSlot, 1), Link::kNotNeeded);
  SetLink(NodeAt(kSlot, 2), Link::kThere);
  SetLink(NodeAt(kSlot + 1, 1), Link::kNotNeeded);
  inodes_.ForgetSlot(kSlot);
  EXPECT_FALSE(HasRecord(NodeAt(kSlot, 1)));
  EXPECT_TRUE(HasRecord(NodeAt(kSlot, 2))) << "its link is to be removed";
  EXPECT_TRUE(HasRecord(NodeAt(kSlot + 1, 1)));
}

}  // namespace
}  // namespace ckptfs
