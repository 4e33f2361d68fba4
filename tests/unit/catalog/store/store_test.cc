#include "catalog/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <algorithm>
#include <barrier>
#include <cerrno>
#include <thread>

#include "backend/base/error.h"
#include "tests/unit/backend/comparisons.h"
#include "tests/unit/catalog/store/store_fixture.h"
#include "tests/unit/catalog/store/whole_operations.h"

namespace ckptfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class LoopStoreTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (!IsSkipped()) Reopen();
  }
  std::vector<std::string> Names(const std::string& workspace) {
    std::vector<std::string> names;
    for (const SnapshotRecord& snapshot : store().rows().ListSnapshots(Workspace(workspace).id)) {
      names.push_back(snapshot.name);
    }
    return names;
  }
};

TEST_F(LoopStoreTest, MakesAStoreAndRecordsHow) {
  const StoreStatus status = store().Status();
  EXPECT_EQ(status.backend_type, TestBackend());
  EXPECT_THAT(status.backend_selection, AnyOf(StartsWith("auto"), StartsWith("asked for by")));
  EXPECT_TRUE(status.clean_start);
  EXPECT_FALSE(status.read_only);
  EXPECT_THAT(status.warnings, IsEmpty());
  EXPECT_EQ(store().rows().MountRoot().mode, S_IFDIR | 0755U);
  ExpectSound();
}

TEST_F(LoopStoreTest, WorkspacesAreMadeRenamedAndRemoved) {
  const WorkspaceRecord made =
      store().CreateWorkspace("b", {.mode = S_IFDIR | 02750, .uid = 12, .gid = 34, .acl = {}});
  MakeWorkspace("a");
  struct stat status {};
  ASSERT_EQ(fstat(store().backend().Open(made.volume)->root_fd(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFDIR | 02750U);
  EXPECT_EQ(status.st_uid, 12U);
  EXPECT_EQ(status.st_gid, 34U);
  EXPECT_EQ(ErrnoOf([&] { MakeWorkspace("a"); }), EEXIST);
  EXPECT_EQ(ErrnoOf([&] { MakeWorkspace(".snapshots"); }), EINVAL);
  store().RenameWorkspace(made.id, "c");
  EXPECT_EQ(ErrnoOf([&] { store().RenameWorkspace(made.id, "a"); }), EEXIST);
  EXPECT_EQ(store().rows().ListWorkspaces().front().name, "a");
  EXPECT_EQ(store().rows().FindWorkspace("c")->view, made.view);
  store().BeginRemoval(made.id).reset();  // there were files in it
  EXPECT_TRUE(store().rows().FindWorkspace(made.id));
  const SnapshotRecord snapshot = Checkpoint("c", "s");
  EXPECT_EQ(ErrnoOf([&] { RemoveWhole(store(), made.id); }), ENOTEMPTY);
  store().DeleteSnapshot(snapshot.id, false);
  RemoveWhole(store(), made.id);
  EXPECT_FALSE(store().rows().FindWorkspace("c"));
  ExpectSound();
}

TEST_F(LoopStoreTest, AnImportIsUnseenUntilItIsCommitted) {
  {
    const auto dropped = store().BeginWorkspace("w");
    WriteFileAt(dropped->volume().root_fd(), "f", "dropped");
  }
  const auto pending = store().BeginWorkspace("w");
  WriteFileAt(pending->volume().root_fd(), "f", "imported");
  EXPECT_FALSE(store().rows().FindWorkspace("w"));
  MakeWorkspace("other");  // others go on meanwhile
  const WorkspaceRecord workspace = pending->Commit();
  EXPECT_EQ(Read(workspace.volume), "imported");
  const auto late = store().BeginWorkspace("late");
  MakeWorkspace("late");
  EXPECT_EQ(ErrnoOf([&] { late->Commit(); }), EEXIST);
}

TEST_F(LoopStoreTest, ACheckpointSaysWhetherItIsOneMoment) {
  MakeWorkspace("w", "one");
  const auto made = [&](const std::string& name, const std::string& why) {
    return CheckpointWhole(store(), Workspace("w").id, {.name = name},
                           {.unlinked_open = 0, .why_not_one_moment = why});
  };
  EXPECT_EQ(made("whole", "").moment, SnapshotMoment::kOne);
  EXPECT_EQ(made("torn", "it is so").moment, SnapshotMoment::kCrashConsistent);
  Write("w", "two");
  const auto rolled_back = Rollback("w", Snapshot("w", "torn"));
  ASSERT_TRUE(rolled_back.kept);
  Reopen();
  EXPECT_EQ(Snapshot("w", "whole").moment_reason, "");
  EXPECT_EQ(Snapshot("w", "torn").moment, SnapshotMoment::kCrashConsistent);
  EXPECT_EQ(Snapshot("w", "torn").moment_reason, "it is so");
  EXPECT_EQ(Snapshot("w", rolled_back.kept->name).moment, SnapshotMoment::kOne);
  ExpectSound();
}

TEST_F(LoopStoreTest, ACheckpointHoldsTheStateAndAllThatIsKnownOfIt) {
  MakeWorkspace("w", "one");
  const WorkspaceRecord workspace = Workspace("w");
  const SnapshotRecord first = CheckpointWhole(
      store(), workspace.id,
      {.name = "s1", .message = "why", .metadata = Metadata::Checked(R"({"a":1})"), .pinned = true},
      {.unlinked_open = 3, .why_not_one_moment = {}});
  EXPECT_EQ(first.unlinked_open, 3);
  Write("w", "two");
  const SnapshotRecord second = Checkpoint("w", "s2");
  EXPECT_EQ(Read(first.volume), "one");
  EXPECT_EQ(Read(second.volume), "two");
  EXPECT_EQ(first.message, "why");
  EXPECT_EQ(first.metadata, R"({"a":1})");
  EXPECT_TRUE(first.pinned);
  EXPECT_EQ(first.parent_id, std::nullopt);
  EXPECT_EQ(second.parent_id, first.id);
  EXPECT_EQ(second.parent_name, "s1");
  EXPECT_LT(first.created_ns, second.created_ns);
  EXPECT_EQ(first.root.mode, S_IFDIR | 0755U);
  EXPECT_NE(first.view, second.view);
  EXPECT_NE(first.view, workspace.view);
  EXPECT_THAT(Names("w"), ElementsAre("s1", "s2"));
  EXPECT_EQ(store().rows().NewestCheckpoint(workspace.id)->name, "s2");
  EXPECT_EQ(store().rows().CountSnapshots(workspace.id), 2U);
  EXPECT_EQ(store().rows().ListSnapshots(workspace.id, first.id, 10).size(), 1U);
  ExpectSound();
}

TEST_F(LoopStoreTest, ACheckpointWithoutANameGetsOne) {
  MakeWorkspace("w");
  EXPECT_THAT(Checkpoint("w", "").name, StartsWith("ckpt-"));
  EXPECT_THAT(Checkpoint("w", "").name, StartsWith("ckpt-"));
  EXPECT_EQ(Names("w").size(), 2U);
}

TEST_F(LoopStoreTest, ACheckpointThatIsRefusedLeavesNothing) {
  MakeWorkspace("w");
  Checkpoint("w", "s");
  const int64_t id = Workspace("w").id;
  const auto checkpoint = [&](const CheckpointRequest& request) {
    return ErrnoOf([&] { store().BeginCheckpoint(id, request); });
  };
  EXPECT_EQ(checkpoint({.name = "s"}), EEXIST);
  EXPECT_EQ(checkpoint({.name = "latest"}), EINVAL);
  EXPECT_EQ(checkpoint({.name = "t", .message = std::string("a\0b", 3)}), EINVAL);
  EXPECT_EQ(checkpoint({.name = "t", .message = "\xff"}), EINVAL);
  EXPECT_EQ(checkpoint({.name = "t", .message = std::string(65537, 'm')}), EINVAL);
  EXPECT_EQ(ErrnoOf([&] { store().BeginCheckpoint(id + 100, {.name = "t"}); }), ENOENT);
  EXPECT_THAT(Names("w"), ElementsAre("s"));
  ExpectSound();
}

TEST_F(LoopStoreTest, SnapshotsAreEdited) {
  MakeWorkspace("w");
  const SnapshotRecord snapshot = Checkpoint("w", "s");
  Checkpoint("w", "taken");
  const int64_t workspace = Workspace("w").id;
  const int64_t before = store().rows().SnapshotsChangedNs(workspace);
  store().RenameSnapshot(snapshot.id, "t");
  EXPECT_GT(store().rows().SnapshotsChangedNs(workspace), before);
  store().SetMessage(snapshot.id, "line one\nline two");
  store().SetMetadata(snapshot.id, Metadata::Checked(R"({"k": [1, 2]})"));
  store().SetPinned(snapshot.id, true);
  EXPECT_EQ(ErrnoOf([&] { store().RenameSnapshot(snapshot.id, "taken"); }), EEXIST);
  EXPECT_EQ(ErrnoOf([&] { store().RenameSnapshot(snapshot.id, "-x"); }), EINVAL);
  const SnapshotRecord edited = Snapshot("w", "t");
  EXPECT_EQ(edited.uuid, snapshot.uuid);
  EXPECT_EQ(edited.message, "line one\nline two");
  EXPECT_EQ(edited.metadata, R"({"k": [1, 2]})");
  EXPECT_TRUE(edited.pinned);
  EXPECT_EQ(Snapshot("w", "taken").parent_name, "t");
  ExpectSound();
}

TEST_F(LoopStoreTest, DeletingGivesChildrenTheParentOfTheDeleted) {
  MakeWorkspace("w", "1");
  const SnapshotRecord a = Checkpoint("w", "a");
  const SnapshotRecord b = Checkpoint("w", "b");
  const SnapshotRecord c = Checkpoint("w", "c");
  store().SetPinned(b.id, true);
  EXPECT_EQ(ErrnoOf([&] { store().DeleteSnapshot(b.id, true); }), EBUSY);
  store().SetPinned(b.id, false);
  store().DeleteSnapshot(b.id, false);
  EXPECT_EQ(Snapshot("w", "c").parent_id, a.id);
  EXPECT_FALSE(ChangedSinceParent(store(), Workspace("w").id, NoLimits()));
  store().DeleteSnapshot(c.id, false);
  EXPECT_EQ(Workspace("w").parent_id, a.id);
  EXPECT_FALSE(ChangedSinceParent(store(), Workspace("w").id, NoLimits()));  // by a comparison
  EXPECT_EQ(ErrnoOf([&] { store().DeleteSnapshot(c.id, false); }), ENOENT);
  store().DeleteSnapshot(a.id, false);
  EXPECT_EQ(Workspace("w").parent_id, std::nullopt);
  ExpectSound();
}

// A snapshot and the one that it derives from may belong to two workspaces, of which two users delete them at
// the same time; or one of them exchanges what derives from it.
TEST_F(LoopStoreTest, AParentOfAnotherWorkspaceGoesMeanwhile) {
  constexpr int kRounds = 12;
  MakeWorkspace("w", "1");
  const int64_t other = MakeWorkspace("v", "2").id;
  const SnapshotRecord root = Checkpoint("w", "root");
  for (int round = 0; round < kRounds; ++round) {
    const SnapshotRecord parent = Checkpoint("w", "parent");
    Rollback("v", parent);
    const SnapshotRecord child = Checkpoint("v", "child");
    Checkpoint("v", "grandchild");
    ASSERT_EQ(child.parent_id, parent.id);
    std::barrier start(2);
    std::jthread deleter([&] {
      start.arrive_and_wait();
      EXPECT_EQ(ErrnoOf([&] { store().DeleteSnapshot(parent.id, false); }), 0);
    });
    start.arrive_and_wait();
    if (round % 2 == 0) {
      EXPECT_EQ(ErrnoOf([&] { store().DeleteSnapshot(child.id, false); }), 0);
    } else {
      EXPECT_EQ(ErrnoOf([&] { Rollback("v", child, ExchangeMode::kExchange); }), 0);
    }
    deleter.join();
    for (const SnapshotRecord& snapshot : store().rows().ListSnapshots(other)) {
      store().DeleteSnapshot(snapshot.id, false);
    }
    EXPECT_EQ(Workspace("v").parent_id, root.id);
  }
  ExpectSound();
}

TEST_F(LoopStoreTest, KnowsWhetherTheLiveTreeHasChanged) {
  MakeWorkspace("w", "1");
  const int64_t id = Workspace("w").id;
  EXPECT_TRUE(ChangedSinceParent(store(), id, NoLimits()));
  const SnapshotRecord a = Checkpoint("w", "a");
  EXPECT_FALSE(ChangedSinceParent(store(), id, NoLimits()));
  Checkpoint("w", "b");
  EXPECT_FALSE(ChangedSinceParent(store(), id, NoLimits()));
  Write("w", "2");
  EXPECT_TRUE(ChangedSinceParent(store(), id, NoLimits()));
  Checkpoint("w", "c");
  EXPECT_FALSE(ChangedSinceParent(store(), id, NoLimits()));
  Rollback("w", a);
  EXPECT_FALSE(ChangedSinceParent(store(), id, NoLimits()));
  Reopen();
  EXPECT_FALSE(ChangedSinceParent(store(), id, NoLimits()));
}

TEST_F(LoopStoreTest, RollbackKeepsTheStateBefore) {
  MakeWorkspace("w", "one");
  const SnapshotRecord s = Checkpoint("w", "s");
  Write("w", "two");
  const WorkspaceRecord before = Workspace("w");
  const auto pending = store().BeginRollback({.workspace_id = before.id, .snapshot_id = s.id});
  EXPECT_EQ(Workspace("w").volume, before.volume);
  EXPECT_TRUE(pending->KeepsStateBefore(/*in_writing=*/false));
  EXPECT_EQ(Workspace("w").volume, before.volume);
  const RollbackResult switched = pending->Commit(/*unlinked_open=*/2);
  EXPECT_EQ(switched.old_volume, before.volume);
  EXPECT_EQ(Workspace("w").volume, switched.workspace.volume);
  const RollbackResult result = pending->Finish();
  EXPECT_EQ(result.kept.value().unlinked_open, 2);
  EXPECT_EQ(result.workspace.view, before.view);
  EXPECT_EQ(result.workspace.parent_id, s.id);
  ASSERT_TRUE(result.kept);
  EXPECT_FALSE(result.equal_to);
  EXPECT_EQ(result.kept->kind, SnapshotKind::kPreRollback);
  EXPECT_THAT(result.kept->name, StartsWith("pre-rollback-"));
  EXPECT_EQ(result.kept->parent_name, "s");
  EXPECT_EQ(result.kept->id, Snapshot("w", result.kept->name).id);
  EXPECT_EQ(Read(Workspace("w").volume), "one");
  EXPECT_EQ(Read(result.kept->volume), "two");
  EXPECT_EQ(Read(s.volume), "one");
  ExpectSound();
  Rollback("w", *result.kept);  // undone; nothing had changed, so nothing is kept
  EXPECT_EQ(Read(Workspace("w").volume), "two");
  EXPECT_EQ(Names("w").size(), 2U);
  ExpectSound();
}

TEST_F(LoopStoreTest, RollbackOfATreeThatWasOnlyReadKeepsNothing) {
  MakeWorkspace("w", "one");
  const SnapshotRecord a = Checkpoint("w", "a");
  Write("w", "two");
  const SnapshotRecord b = Checkpoint("w", "b");
  TouchLive(store(), "w");
  EXPECT_FALSE(ChangedSinceParent(store(), Workspace("w").id, NoLimits()));
  const auto pending =
      store().BeginRollback({.workspace_id = Workspace("w").id, .snapshot_id = a.id});
  EXPECT_TRUE(pending->KeepsStateBefore(/*in_writing=*/false));
  const std::optional<SnapshotRecord> kept_for_a_moment = pending->Commit(0).kept;
  const RollbackResult result = pending->Finish();
  EXPECT_FALSE(result.kept);
  ASSERT_TRUE(result.equal_to);
  EXPECT_EQ(result.equal_to->id, b.id);
  ASSERT_TRUE(kept_for_a_moment);
  ASSERT_TRUE(result.dropped);
  EXPECT_EQ(result.dropped->id, kept_for_a_moment->id);
  EXPECT_THAT(Names("w"), ElementsAre("a", "b"));
  EXPECT_EQ(Read(Workspace("w").volume), "one");
  EXPECT_EQ(Read(b.volume), "two");
  ExpectSound();
}

TEST_F(LoopStoreTest, RollbackOfAnUnchangedTreeKeepsNothing) {
  MakeWorkspace("w", "one");
  const SnapshotRecord a = Checkpoint("w", "a");
  Write("w", "two");
  const SnapshotRecord b = Checkpoint("w", "b");
  const RollbackResult result = Rollback("w", a);
  EXPECT_FALSE(result.kept);
  ASSERT_TRUE(result.equal_to);
  EXPECT_EQ(result.equal_to->id, b.id);
  EXPECT_THAT(Names("w"), ElementsAre("a", "b"));
  ExpectSound();
}

TEST_F(LoopStoreTest, WithoutUndoTheStateBeforeIsDropped) {
  StoreOptions options = Options();
  options.undo = false;
  Reopen(options);
  MakeWorkspace("w", "one");
  const SnapshotRecord a = Checkpoint("w", "a");
  Write("w", "two");
  EXPECT_FALSE(Rollback("w", a).kept);
  EXPECT_THAT(Names("w"), ElementsAre("a"));
  EXPECT_EQ(Read(Workspace("w").volume), "one");
  ExpectSound();
}

TEST_F(LoopStoreTest, AnExchangeGivesTheNameToTheStateBefore) {
  MakeWorkspace("w", "one");
  const SnapshotRecord s = Checkpoint("w", "s");
  const SnapshotRecord child = Checkpoint("w", "child");
  Write("w", "two");
  const RollbackResult result = Rollback("w", s, ExchangeMode::kExchange);
  ASSERT_TRUE(result.kept);
  EXPECT_EQ(result.kept->name, "s");
  EXPECT_NE(result.kept->uuid, s.uuid);
  EXPECT_EQ(result.kept->kind, SnapshotKind::kManual);
  EXPECT_EQ(Read(Workspace("w").volume), "one");
  EXPECT_EQ(Read(Snapshot("w", "s").volume), "two");
  EXPECT_EQ(Snapshot("w", "child").parent_id, std::nullopt);
  EXPECT_EQ(Snapshot("w", "s").parent_id, child.id);
  EXPECT_THAT(Names("w"), ElementsAre("child", "s"));
  ExpectSound();
  Rollback("w", Snapshot("w", "s"), ExchangeMode::kExchange);
  EXPECT_EQ(Read(Workspace("w").volume), "two");
  EXPECT_EQ(Read(Snapshot("w", "s").volume), "one");
  store().SetPinned(Snapshot("w", "s").id, true);
  EXPECT_EQ(ErrnoOf([&] { Rollback("w", Snapshot("w", "s"), ExchangeMode::kExchange); }), EBUSY);
  ExpectSound();
}

TEST_F(LoopStoreTest, ForkAndPromote) {
  MakeWorkspace("w", "one");
  const SnapshotRecord s = Checkpoint("w", "s");
  const WorkspaceRecord fork = store().Fork(s.id, "fork");
  EXPECT_EQ(fork.parent_id, s.id);
  EXPECT_EQ(Read(fork.volume), "one");
  EXPECT_FALSE(ChangedSinceParent(store(), fork.id, NoLimits()));
  EXPECT_EQ(ErrnoOf([&] { store().Fork(s.id, "fork"); }), EEXIST);
  Write("fork", "better");
  const SnapshotRecord good = Checkpoint("fork", "good");
  EXPECT_EQ(good.parent_id, s.id);
  EXPECT_EQ(ErrnoOf([&] { Rollback("w", good, ExchangeMode::kExchange); }), EPERM);
  Rollback("w", good);
  EXPECT_EQ(Read(Workspace("w").volume), "better");
  EXPECT_EQ(Workspace("w").parent_id, good.id);
  store().DeleteSnapshot(good.id, false);
  EXPECT_EQ(Workspace("w").parent_id, s.id);
  store().DeleteSnapshot(s.id, false);
  RemoveWhole(store(), Workspace("fork").id);
  ExpectSound();
}

TEST_F(LoopStoreTest, ComparesWithASnapshotAndWithTheLiveTree) {
  MakeWorkspace("w", "one");
  const SnapshotRecord a = Checkpoint("w", "a");
  Write("w", "two");
  const SnapshotRecord b = Checkpoint("w", "b");
  const int64_t id = Workspace("w").id;
  const auto diff = [&](int64_t older, std::optional<int64_t> newer) {
    return CompareWhole(store(), {older, newer, id}, NoLimits()).All();
  };
  const std::vector<DiffEntry> between = diff(a.id, b.id);
  ASSERT_EQ(between.size(), 1U);
  EXPECT_EQ(between[0].path, "f");
  EXPECT_THAT(diff(b.id, std::nullopt), IsEmpty());
  EXPECT_EQ(diff(a.id, std::nullopt).size(), 1U);
  EXPECT_FALSE(ChangedSinceParent(store(), id, NoLimits()));
  EXPECT_GT(store().SnapshotUsage(a.id).referenced_bytes, 0U);
  ExpectSound();
}

TEST_F(LoopStoreTest, MissingDataIsShownAndComesBack) {
  MakeWorkspace("w", "one");
  const SnapshotRecord s = Checkpoint("w", "s");
  const SnapshotRecord t = Checkpoint("w", "t");
  store().backend().Destroy(s.volume);
  EXPECT_EQ(ErrnoOf([&] { Rollback("w", s); }), EIO);
  EXPECT_EQ(Snapshot("w", "s").state, SnapshotState::kMissing);
  Reopen();
  EXPECT_EQ(Snapshot("w", "s").state, SnapshotState::kMissing);
  EXPECT_EQ(Snapshot("w", "t").state, SnapshotState::kOk);
  EXPECT_THAT(store().Status().warnings, ElementsAre(HasSubstr("w/s is missing")));
  EXPECT_THAT(MessageOf([&] { Rollback("w", s); }), HasSubstr("data is missing"));
  EXPECT_EQ(ErrnoOf([&] { store().Fork(s.id, "n"); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { store().DeleteSnapshot(s.id, false); }), EIO);
  EXPECT_THAT(store().Fsck(true).problems, ElementsAre(HasSubstr("missing")));
  // Back again, as a copy of the other one.
  store().backend().Clone(t.volume, s.volume);
  store().backend().Seal(s.volume);
  Reopen();
  EXPECT_EQ(Snapshot("w", "s").state, SnapshotState::kOk);
  store().backend().Destroy(s.volume);
  store().MarkMissing(s.id);
  EXPECT_EQ(Snapshot("w", "s").state, SnapshotState::kMissing);
  store().DeleteSnapshot(s.id, true);
  ExpectSound();
}

TEST_F(LoopStoreTest, AWorkspaceWithoutItsDataComesBackByARollback) {
  MakeWorkspace("w", "one");
  MakeWorkspace("other", "else");
  const SnapshotRecord s = Checkpoint("w", "s");
  store().backend().Destroy(Workspace("w").volume);
  Reopen();
  EXPECT_THAT(store().Status().warnings, ElementsAre(HasSubstr("workspace w is missing")));
  EXPECT_EQ(Read(Workspace("other").volume), "else");
  EXPECT_EQ(ErrnoOf([&] { Checkpoint("w", "t"); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { Rollback("w", s, ExchangeMode::kExchange); }), EIO);
  const RollbackResult result = Rollback("w", s);
  EXPECT_FALSE(result.kept);
  EXPECT_FALSE(result.equal_to);
  EXPECT_EQ(Read(Workspace("w").volume), "one");
  store().Fsck(true);  // the sidecar of the volume that is gone
  ExpectSound();
}

TEST_F(LoopStoreTest, ReadOnlyChangesNothing) {
  MakeWorkspace("w", "one");
  const SnapshotRecord s = Checkpoint("w", "s");
  StoreOptions options = Options();
  options.read_only = true;
  options.backend_options.read_only = true;
  Reopen(options);
  EXPECT_TRUE(store().Status().read_only);
  EXPECT_EQ(Read(s.volume), "one");
  EXPECT_EQ(ErrnoOf([&] { MakeWorkspace("x"); }), EROFS);
  EXPECT_EQ(ErrnoOf([&] { Checkpoint("w", "t"); }), EROFS);
  EXPECT_EQ(ErrnoOf([&] { store().DeleteSnapshot(s.id, false); }), EROFS);
  EXPECT_EQ(ErrnoOf([&] { Rollback("w", s); }), EROFS);
  EXPECT_EQ(ErrnoOf([&] { store().SetMessage(s.id, "m"); }), EROFS);
  EXPECT_EQ(ErrnoOf([&] { store().Fsck(true); }), EROFS);
  EXPECT_THAT(store().Fsck(false).problems, IsEmpty());
}

TEST_F(LoopStoreTest, TheMountRootKeepsItsAttributes) {
  store().SetMountRoot({.mode = S_IFDIR | 01777, .uid = 5, .gid = 6, .acl = {}});
  Reopen();
  EXPECT_EQ(store().rows().MountRoot().mode, S_IFDIR | 01777U);
  EXPECT_EQ(store().rows().MountRoot().uid, 5U);
}

}  // namespace
}  // namespace ckptfs
