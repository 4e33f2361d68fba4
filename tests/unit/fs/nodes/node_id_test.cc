#include "fs/nodes/node_id.h"

#include <gtest/gtest.h>

namespace ckptfs {
namespace {

TEST(NodeIdTest, PacksAndUnpacks) {
  const NodeId node = MakeNumber(kMaxSlot, kMaxInode);
  EXPECT_EQ(SlotOf(node), kMaxSlot);
  EXPECT_EQ(InodeOf(node), kMaxInode);
  EXPECT_FALSE(IsVirtual(node));
}

TEST(NodeIdTest, RefusesAnInodeNumberThatDoesNotFit) {
  try {
    MakeNumber(1, kMaxInode + 1);
    FAIL() << "41 bits were packed into 40";
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), EOVERFLOW);
  }
}

TEST(NodeIdTest, VirtualNodesKeepKindAndPayload) {
  const NodeId node = MakeVirtualNode(VirtualKind::kInnerLive, kMaxVirtualPayload);
  EXPECT_TRUE(IsVirtual(node));
  EXPECT_EQ(VirtualKindOf(node), VirtualKind::kInnerLive);
  EXPECT_EQ(VirtualPayloadOf(node), kMaxVirtualPayload);
  EXPECT_THROW(MakeVirtualNode(VirtualKind::kLatest, kMaxVirtualPayload + 1), Error);
}

TEST(NodeIdTest, TheMountRootIsWhatTheKernelCallsTheRoot) {
  EXPECT_TRUE(IsVirtual(kMountRootNode));
  EXPECT_EQ(VirtualKindOf(kMountRootNode), VirtualKind::kSingle);
}

}  // namespace
}  // namespace ckptfs
