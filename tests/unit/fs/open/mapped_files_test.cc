#include "fs/open/mapped_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ckptfs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Slot kSlot = 3;
NodeId NodeAt(Slot slot, uint64_t inode) { return MakeNumber(slot, inode); }

TEST(MappedFiles, TellsThoseOfOneSlot) {
  MappedFiles files;
  for (const Slot slot : {kSlot + 1, kSlot, kSlot - 1}) {
    files.Add(NodeAt(slot, 300));
    files.Add(NodeAt(slot, 1));
  }
  EXPECT_THAT(files.OfSlot(kSlot), ElementsAre(NodeAt(kSlot, 1), NodeAt(kSlot, 300)));
  EXPECT_THAT(files.OfSlot(kSlot + 2), IsEmpty());
}

TEST(MappedFiles, NewOnesComeAtOnceAndOldOnesInTheirTurn) {
  MappedFiles files;
  EXPECT_THAT(files.Next(2), IsEmpty());
  for (const uint64_t inode : {3, 1, 2}) files.Add(NodeAt(kSlot, inode));
  EXPECT_THAT(files.Next(0), ElementsAre(NodeAt(kSlot, 3), NodeAt(kSlot, 1), NodeAt(kSlot, 2)));
  EXPECT_THAT(files.Next(2), ElementsAre(NodeAt(kSlot, 1), NodeAt(kSlot, 2)));
  EXPECT_THAT(files.Next(2), ElementsAre(NodeAt(kSlot, 3), NodeAt(kSlot, 1)));
  files.Remove(NodeAt(kSlot, 1), files.Find(NodeAt(kSlot, 1)));
  EXPECT_THAT(files.Next(9), ElementsAre(NodeAt(kSlot, 2), NodeAt(kSlot, 3)));
}

TEST(MappedFiles, AnAdditionIsNotTakenOutByAnOlderLook) {
  MappedFiles files;
  files.Add(NodeAt(kSlot, 1));
  const uint64_t looked = files.Find(NodeAt(kSlot, 1));
  files.Add(NodeAt(kSlot, 1));
  files.Remove(NodeAt(kSlot, 1), looked);
  EXPECT_NE(files.Find(NodeAt(kSlot, 1)), 0U);
  EXPECT_EQ(files.ends(), 0U);
  files.Remove(NodeAt(kSlot, 1), files.Find(NodeAt(kSlot, 1)));
  EXPECT_TRUE(files.empty());
  EXPECT_EQ(files.ends(), 1U);
}

}  // namespace
}  // namespace ckptfs
