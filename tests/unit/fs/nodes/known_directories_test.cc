#include "fs/nodes/known_directories.h"

#include <gtest/gtest.h>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

class KnownDirectoriesTest : public testing::Test {
 protected:
  NodeId Acquire(FileId file) { return AcquireHandle(file).node; }
  NodeHandle AcquireHandle(FileId file) {
    return known_.Acquire(
        file, [this] { return current_; },
        [this] { return current_ = slots_.AddLiveDirectories(nullptr, 1); });
  }
  void Forget(NodeId node) {
    known_.Forget(node, 1);
    slots_.Forget(SlotOf(node), 1);
  }

  SlotTable slots_;
  KnownDirectories known_{slots_};
  Slot current_ = slots_.AddLiveDirectories(nullptr, 1);
};

TEST_F(KnownDirectoriesTest, ADirectoryKeepsItsNode) {
  const NodeId node = Acquire({300, 5});
  EXPECT_EQ(Acquire({300, 5}), node);
  EXPECT_EQ(known_.GenerationOf(node), 5U);
  EXPECT_EQ(known_.size(), 1U);
}

TEST_F(KnownDirectoriesTest, AnotherDirectoryOfTheSameNumberGetsAnotherNode) {
  const NodeId old_node = Acquire({300, 5});
  const NodeId new_node = Acquire({300, 9});
  EXPECT_NE(old_node, new_node);
  EXPECT_EQ(InodeOf(new_node), 300U);
  EXPECT_EQ(known_.GenerationOf(old_node), 5U);
  EXPECT_EQ(known_.GenerationOf(new_node), 9U);
  EXPECT_EQ(Acquire({300, 5}), old_node) << "as after a rollback of the rollback";
}

TEST_F(KnownDirectoriesTest, ADisownedDirectoryIsStaleAndTakenForNoOther) {
  const NodeId old_node = Acquire({300, 5});
  known_.Disown();
  EXPECT_THROW(known_.GenerationOf(old_node), Error);
  const NodeId new_node = Acquire({300, 5});
  EXPECT_NE(old_node, new_node);
  EXPECT_EQ(known_.GenerationOf(new_node), 5U);
  EXPECT_EQ(Acquire({300, 5}), new_node);
  Forget(old_node);
  EXPECT_EQ(known_.size(), 1U);
}

TEST_F(KnownDirectoriesTest, ARemovedDirectoryThatIsBackHasAnotherNode) {
  const NodeId old_node = Acquire({300, 5});
  known_.Remove(old_node);
  const NodeId new_node = Acquire({300, 5});
  EXPECT_NE(old_node, new_node);
  EXPECT_EQ(Acquire({300, 5}), new_node);
  EXPECT_EQ(known_.GenerationOf(old_node), 5U) << "of whoever holds it still";
  Forget(old_node);
  EXPECT_EQ(known_.size(), 1U);
}

TEST_F(KnownDirectoriesTest, AForgottenDirectoryIsFoundAgainByItsHandle) {
  const NodeHandle before = AcquireHandle({300, 5});
  Forget(before.node);
  const auto view = slots_.Find(SlotOf(before.node));
  current_ = slots_.AddLiveDirectories(nullptr, 1);
  EXPECT_EQ(known_.AcquireAgain({300, 5}, *view), before);
  EXPECT_EQ(AcquireHandle({300, 5}), before) << "one directory has one node";
}

TEST_F(KnownDirectoriesTest, AHandleOfADirectoryThatHasGotAnotherNodeIsNotAnswered) {
  const NodeHandle before = AcquireHandle({300, 5});
  Forget(before.node);
  const auto view = slots_.Find(SlotOf(before.node));
  current_ = slots_.AddLiveDirectories(nullptr, 1);
  const NodeHandle now = AcquireHandle({300, 5});
  EXPECT_NE(now.node, before.node);
  EXPECT_EQ(known_.AcquireAgain({300, 5}, *view), now);
  Acquire({301, 9});
  AcquireHandle({300, 9});  // takes another slot
  const auto other = slots_.Find(SlotOf(now.node));
  EXPECT_THROW(known_.AcquireAgain({300, 7}, *other), Error);
}

TEST_F(KnownDirectoriesTest, AHandleTellsWhichDirectoryHadTheNumber) {
  const NodeHandle first = AcquireHandle({300, 5});
  Forget(first.node);
  const NodeHandle second = AcquireHandle({300, 6});
  Forget(second.node);
  EXPECT_EQ(second.node, first.node);
  EXPECT_NE(second.generation, first.generation);
  known_.Disown();
  const NodeHandle disowned = AcquireHandle({300, 5});
  EXPECT_EQ(disowned.node, first.node);
  EXPECT_NE(disowned.generation, first.generation) << "perhaps another workspace's";
  SlotTable other_mount;
  const Slot slot = other_mount.AddLiveDirectories(nullptr, 1);
  KnownDirectories others(other_mount);
  const NodeHandle other = others.Acquire(
      {300, 5}, [&] { return slot; }, [&] { return slot; });
  EXPECT_EQ(other.node, first.node);
  EXPECT_NE(other.generation, first.generation);
}

TEST_F(KnownDirectoriesTest, AForgottenDirectoryCostsNothing) {
  const NodeId node = Acquire({300, 5});
  Acquire({300, 5});
  Forget(node);
  EXPECT_EQ(known_.GenerationOf(node), 5U);
  Forget(node);
  EXPECT_EQ(known_.size(), 0U);
  EXPECT_EQ(known_.GenerationOf(node), 0U);
  EXPECT_EQ(Acquire({300, 9}), node) << "the number is free for another one";
}

}  // namespace
}  // namespace ckptfs
