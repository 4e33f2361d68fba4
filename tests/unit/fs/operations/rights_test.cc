#include "fs/operations/rights.h"

#include <linux/capability.h>
#include <sys/stat.h>

#include <cerrno>

#include "backend/base/error.h"
#include "tests/unit/fs/control/control_fixture.h"

namespace ckptfs {
namespace {

constexpr uid_t kOwner = 1001;
constexpr uid_t kOther = 1002;
constexpr gid_t kTeam = 1003;

class RightsTest : public ControlTest {
 protected:
  void SetRoot(const std::string& workspace, mode_t mode, uid_t uid, gid_t gid) {
    const auto volume = store().backend().Open(Workspace(workspace).volume);
    CheckSyscall(fchown(volume->root_fd(), uid, gid), "give a workspace away");
    CheckSyscall(fchmod(volume->root_fd(), mode), "set a workspace's mode");
  }
  static Asker User(uid_t uid, const std::vector<gid_t>& groups = {}, const Powers& powers = {}) {
    return {uid, uid, [=] { return FurtherCredentials{.groups = groups, .powers = powers}; }};
  }
  int ErrorOf(Right right, const Asker& asker, const RightSubject& subject) {
    EXPECT_EQ(HasRight(store(), right, asker, subject),
              ErrnoOf([&] { RequireRight(store(), right, asker, subject); }) == 0);
    return ErrnoOf([&] { RequireRight(store(), right, asker, subject); });
  }
};

TEST_F(RightsTest, AsksTheKernelOfWhatItHasNotChecked) {
  MakeWorkspace("w", "1");
  SetRoot("w", 0775, kOwner, kTeam);
  const WorkspaceRecord workspace = Workspace("w");
  const RightSubject unchecked{.workspace = &workspace};
  EXPECT_EQ(ErrorOf(Right::kRollBack, User(kOwner), unchecked), 0);
  EXPECT_EQ(ErrorOf(Right::kRollBack, User(kOther), unchecked), EACCES);
  EXPECT_EQ(ErrorOf(Right::kRollBack, User(kOther, {kTeam}), unchecked), 0);
  EXPECT_EQ(ErrorOf(Right::kRollBack, User(0), unchecked), 0);
  const Powers over_them(uint64_t{1} << CAP_DAC_OVERRIDE, {{1000, 10}}, {{1000, 10}});
  EXPECT_EQ(ErrorOf(Right::kRollBack, User(1000, {}, over_them), unchecked), 0);
  EXPECT_EQ(ErrorOf(Right::kRollBack, User(kOther),
                    {.workspace = &workspace, .may_write_workspace = true}),
            0);
}

TEST_F(RightsTest, AStickyWorkspaceIsItsOwners) {
  MakeWorkspace("w", "1");
  SetRoot("w", 01777, kOther, kTeam);
  Checkpoint("w", "of-other");
  SetRoot("w", 01777, kOwner, kTeam);
  const WorkspaceRecord workspace = Workspace("w");
  const SnapshotRecord snapshot = Snapshot("w", "of-other");
  const RightSubject subject{
      .workspace = &workspace, .snapshot = &snapshot, .may_write_workspace = true};
  EXPECT_EQ(ErrorOf(Right::kCheckpoint, User(2000), subject), 0);
  for (const Right right : {Right::kRollBack, Right::kChangeSnapshot}) {
    EXPECT_EQ(ErrorOf(right, User(2000), subject), EPERM);
    EXPECT_EQ(ErrorOf(right, User(kOwner), subject), 0);
    const Powers over_owner(uint64_t{1} << CAP_FOWNER, {{1000, 2}}, {{kTeam, 1}});
    EXPECT_EQ(ErrorOf(right, User(2000, {}, over_owner), subject), 0);
  }
  EXPECT_EQ(ErrorOf(Right::kChangeSnapshot, User(kOther), subject), 0);
  EXPECT_EQ(ErrorOf(Right::kRollBack, User(kOther), subject), EPERM);
}

TEST_F(RightsTest, TheMountRootSaysWhoMakesAndListsWorkspaces) {
  const auto set_root = [this](mode_t mode) {
    store().SetMountRoot({.mode = S_IFDIR | mode, .uid = kOwner, .gid = kTeam, .acl = {}});
  };
  set_root(0731);
  EXPECT_EQ(ErrorOf(Right::kCreateWorkspace, User(kOwner), {}), 0);
  EXPECT_EQ(ErrorOf(Right::kCreateWorkspace, User(kOther, {kTeam}), {}), 0);
  EXPECT_EQ(ErrorOf(Right::kCreateWorkspace, User(kOther), {}), EACCES);
  EXPECT_EQ(ErrorOf(Right::kCreateWorkspace, User(kOther), {.may_write_mount_root = true}), 0);
  EXPECT_EQ(ErrorOf(Right::kListWorkspaces, User(kOwner), {}), 0);
  EXPECT_EQ(ErrorOf(Right::kListWorkspaces, User(kOther, {kTeam}), {}), EACCES);
  // The owner's class counts for the owner, also where others may more.
  set_root(0077);
  EXPECT_EQ(ErrorOf(Right::kCreateWorkspace, User(kOwner), {}), EACCES);
  EXPECT_EQ(ErrorOf(Right::kCreateWorkspace, User(kOther), {}), 0);
  EXPECT_EQ(ErrorOf(Right::kManageStore, User(kOwner), {}), EACCES);
  EXPECT_EQ(ErrorOf(Right::kManageStore, User(0), {}), 0);
}

TEST_F(RightsTest, AForkNeedsBoth) {
  MakeWorkspace("w", "1");
  Checkpoint("w", "a");
  EXPECT_EQ(
      Ask(ControlTest::User("w", true), "fork", {{"snapshot", "a"}, {"name", "w"}}).error_number(),
      EACCES);  // nothing of whether there is one of this name
  store().SetMountRoot({.mode = S_IFDIR | 01777, .acl = {}});
  EXPECT_EQ(
      Ask(ControlTest::User("w", true), "fork", {{"snapshot", "a"}, {"name", "w"}}).error_number(),
      EEXIST);
  EXPECT_EQ(
      Ask(ControlTest::User("w", true), "fork", {{"snapshot", "a"}, {"name", "n"}}).error_number(),
      0);
}

}  // namespace
}  // namespace ckptfs
