#include "fs/nodes/live_workspace.h"

#include <gtest/gtest.h>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

TEST(LiveWorkspaceTest, ItsRootIsCountedUntilItIsRetired) {
  SlotTable slots;
  const auto workspace = std::make_shared<LiveWorkspace>(1, 5, slots);
  workspace->Switch(nullptr, 0);
  const NodeId before = workspace->AcquireRoot().node;
  workspace->RenewRoot();
  const NodeId after = workspace->AcquireRoot().node;
  EXPECT_NE(before, after);
  workspace->Retire();
  slots.Forget(SlotOf(before), 1);
  slots.Forget(SlotOf(after), 1);
  EXPECT_EQ(slots.size(), 0U);
  EXPECT_THROW(workspace->AcquireRoot(), Error);
}

}  // namespace
}  // namespace ckptfs
