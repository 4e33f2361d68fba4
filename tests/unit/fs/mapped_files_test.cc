#include "fs/mapped_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ckptfs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Slot kSlot = 3;
NodeId Node(Slot slot, uint64_t inode) { return MakeNumber(slot, inode); }

TEST(MappedFiles, TellsThoseOfOneSlot) {
  MappedFiles files;
  for (const Slot slot : {kSlot + 1, kSlot, kSlot - 1}) {
    files.Add(Node(slot, 300));
    files.Add(Node(slot, 1));
  }
  EXPECT_THAT(files.OfSlot(kSlot), ElementsAre(Node(kSlot, 1), Node(kSlot, 300)));
  EXPECT_THAT(files.OfSlot(kSlot + 2), IsEmpty());
}

TEST(MappedFiles, NewOnesComeAtOnceAndOldOnesInTheirTurn) {
  MappedFiles files;
  EXPECT_THAT(files.Next(2), IsEmpty());
  for (const uint64_t inode : {3, 1, 2}) files.Add(Node(kSlot, inode));
  EXPECT_THAT(files.Next(0), ElementsAre(Node(kSlot, 3), Node(kSlot, 1), Node(kSlot, 2)));
  EXPECT_THAT(files.Next(2), ElementsAre(Node(kSlot, 1), Node(kSlot, 2)));
  EXPECT_THAT(files.Next(2), ElementsAre(Node(kSlot, 3), Node(kSlot, 1)));
  files.Remove(Node(kSlot, 1), files.Find(Node(kSlot, 1)));
  EXPECT_THAT(files.Next(9), ElementsAre(Node(kSlot, 2), Node(kSlot, 3)));
}

TEST(MappedFiles, AnAdditionIsNotTakenOutByAnOlderLook) {
  MappedFiles files;
  files.Add(Node(kSlot, 1));
  const uint64_t looked = files.Find(Node(kSlot, 1));
  files.Add(Node(kSlot, 1));
  files.Remove(Node(kSlot, 1), looked);
  EXPECT_NE(files.Find(Node(kSlot, 1)), 0U);
  EXPECT_EQ(files.ends(), 0U);
  files.Remove(Node(kSlot, 1), files.Find(Node(kSlot, 1)));
  EXPECT_TRUE(files.empty());
  EXPECT_EQ(files.ends(), 1U);
}

}  // namespace
}  // namespace ckptfs
