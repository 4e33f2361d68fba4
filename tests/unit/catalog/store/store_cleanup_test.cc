// What rules and protections leave of a workspace's checkpoints, and the limit on them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "backend/base/error.h"
#include "tests/unit/catalog/store/store_fixture.h"
#include "tests/unit/catalog/store/whole_operations.h"

namespace ckptfs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class CleanupTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    Reopen();
    MakeWorkspace("w", "1");
  }
  void Make(const std::vector<std::string>& names) {
    for (const std::string& name : names) Checkpoint("w", name);
  }
  CleanupRequest KeepLast(uint64_t count) {
    CleanupRequest request{.workspace_id = Workspace("w").id};
    request.rules.count(Period::kEach) = count;
    return request;
  }
  // "name keep" or "name remove".
  std::vector<std::string> Plan(const CleanupRequest& request) {
    std::vector<std::string> plan;
    for (const CleanupVerdict& verdict : store().PlanCleanup(request)) {
      plan.push_back(verdict.name + (verdict.keep ? " keep" : " remove"));
    }
    return plan;
  }
  std::vector<std::string> ReasonsNow(const std::string& name) {
    return store().RemoveUnprotected(Snapshot("w", name).id);
  }
};

TEST_F(CleanupTest, WithoutARuleNothingIsPlanned) {
  Make({"a", "b"});
  EXPECT_EQ(ErrnoOf([&] { store().PlanCleanup({.workspace_id = Workspace("w").id}); }), EINVAL);
}

TEST_F(CleanupTest, PlansOldestFirstAndCountsNoPinnedOne) {
  Make({"a", "b", "c", "d"});
  EXPECT_THAT(Plan(KeepLast(2)), ElementsAre("a remove", "b remove", "c keep", "d keep"));
  store().SetPinned(Snapshot("w", "c").id, true);
  EXPECT_THAT(Plan(KeepLast(2)), ElementsAre("a remove", "b keep", "c keep", "d keep"));
}

TEST_F(CleanupTest, StatesThatRollbacksKeptAreLeftOut) {
  Make({"a", "b"});
  Write("w", "2");
  const RollbackResult result = Rollback("w", Snapshot("w", "b"));
  ASSERT_TRUE(result.kept);
  EXPECT_THAT(Plan(KeepLast(1)), ElementsAre("a remove", "b keep"));
}

// Whatever a plan said: what has come to protect one since counts.
TEST_F(CleanupTest, RemovesNothingThatIsProtectedNow) {
  Make({"a", "b", "c", "d", "e"});
  store().SetPinned(Snapshot("w", "a").id, true);
  EXPECT_THAT(ReasonsNow("a"), ElementsAre("pinned"));
  store().SetHold(Snapshot("w", "a").id, "copy", true);
  store().SetHold(Snapshot("w", "a").id, "backup", true);
  EXPECT_THAT(ReasonsNow("a"), ElementsAre("pinned", "held: backup, copy"));
  store().SetPinned(Snapshot("w", "a").id, false);
  EXPECT_THAT(ReasonsNow("a"), ElementsAre("held: backup, copy"));
  EXPECT_THAT(ReasonsNow("e"), ElementsAre("newest", "parent of the live state"));
  Rollback("w", Snapshot("w", "b"));
  EXPECT_THAT(ReasonsNow("b"), ElementsAre("parent of the live state"));
  EXPECT_THAT(ReasonsNow("e"), ElementsAre("newest"));
  store().Fork(Snapshot("w", "c").id, "fork");
  EXPECT_THAT(ReasonsNow("c"), ElementsAre("parent of another workspace's live state"));
  store().MarkMissing(Snapshot("w", "d").id);
  EXPECT_THAT(ReasonsNow("d"), ElementsAre("its data is missing"));
  EXPECT_EQ(store().rows().CountCheckpoints(Workspace("w").id), 5U);
}

TEST_F(CleanupTest, AutomaticRunsSpareWhatIsYoung) {
  Make({"a", "b", "c"});
  CleanupRequest request = KeepLast(1);
  request.min_age_ns = int64_t{3600} * 1'000'000'000;
  EXPECT_THAT(Plan(request), ElementsAre("a keep", "b keep", "c keep"));
  EXPECT_THAT(store().PlanCleanup(request).at(0).reasons,
              ElementsAre("younger than cleanup.min-age"));
  request.old_up_to_id = Snapshot("w", "a").id;
  EXPECT_THAT(Plan(request), ElementsAre("a remove", "b keep", "c keep"));
  request.min_age_ns = 1;
  EXPECT_THAT(Plan(request), ElementsAre("a remove", "b remove", "c keep"));
}

TEST_F(CleanupTest, ForSpaceRulesDoNotMatterAndProtectionsDo) {
  Make({"a", "b", "c", "d"});
  store().SetPinned(Snapshot("w", "b").id, true);
  CleanupRequest request = KeepLast(4);
  request.ignore_rules = true;
  EXPECT_THAT(Plan(request), ElementsAre("a remove", "b keep", "c remove", "d keep"));
  request.rules = {};
  EXPECT_THAT(Plan(request), ElementsAre("a remove", "b keep", "c remove", "d keep"));
}

TEST_F(CleanupTest, AScheduledCheckpointIsOneLikeOthers) {
  Make({"a"});
  CheckpointRequest request;
  request.kind = SnapshotKind::kScheduled;
  const SnapshotRecord made = CheckpointWhole(store(), Workspace("w").id, request);
  EXPECT_THAT(made.name, testing::StartsWith("auto-"));
  EXPECT_EQ(store().rows().NewestCheckpoint(Workspace("w").id)->id, made.id);
  Make({"c"});
  EXPECT_THAT(Plan(KeepLast(1)), ElementsAre("a remove", made.name + " remove", "c keep"));
  Reopen();
  EXPECT_EQ(Snapshot("w", made.name).kind, SnapshotKind::kScheduled);
  EXPECT_EQ(Snapshot("w", "a").kind, SnapshotKind::kManual);
  ExpectSound();
}

TEST_F(CleanupTest, HealthTellsOfLimitsThatAreExceeded) {
  EXPECT_THAT(store().LookAtHealth(), IsEmpty());
  store().SetSetting(Workspace("w").id, kHealthSnapshots, "2");
  Make({"a", "b"});
  EXPECT_THAT(store().LookAtHealth(), IsEmpty());
  Make({"c"});
  const std::vector<HealthFinding> findings = store().LookAtHealth();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings.front().key, kHealthSnapshots);
  EXPECT_EQ(findings.front().workspace, "w");
  EXPECT_EQ(store().KnownHealth().size(), 1U);
  store().SetSetting(std::nullopt, kHealthSnapshots, "5");
  store().SetSetting(Workspace("w").id, kHealthSnapshots, std::nullopt);
  EXPECT_THAT(store().LookAtHealth(), IsEmpty());
  EXPECT_EQ(ErrnoOf([&] { store().SetSetting(Workspace("w").id, kHealthUsed, "80%"); }), EINVAL);
}

TEST_F(CleanupTest, RemovesTheOthersForGood) {
  Make({"a", "b"});
  const int64_t id = Snapshot("w", "a").id;
  EXPECT_THAT(store().RemoveUnprotected(id), IsEmpty());
  EXPECT_EQ(ErrnoOf([&] { store().RemoveUnprotected(id); }), ENOENT);
  EXPECT_EQ(Snapshot("w", "b").parent_name, "");
  ExpectSound();
}

TEST_F(CleanupTest, OneThatIsStillWrittenToStays) {
  Make({"a", "b"});
  Write("w", "2");
  const RollbackResult result =
      RollBackWhole(store(), {Workspace("w").id, Snapshot("w", "b").id}, /*in_writing=*/true);
  EXPECT_THAT(store().RemoveUnprotected(result.kept->id), Contains(HasSubstr("go on writing")));
  store().WritersGone(result.old_volume);
  EXPECT_THAT(store().RemoveUnprotected(result.kept->id), IsEmpty());
}

TEST_F(CleanupTest, AForgottenWorkspaceGoesWithAllItHas) {
  Make({"a", "b", "c"});
  store().Fork(Snapshot("w", "b").id, "fork");
  Checkpoint("fork", "of-fork");
  store().SetPinned(Snapshot("w", "c").id, true);
  const int64_t id = Workspace("w").id;
  EXPECT_EQ(ErrnoOf([&] { ForgetWhole(store(), id); }), EBUSY);
  EXPECT_THAT(MessageOf([&] { ForgetWhole(store(), id); }), HasSubstr("c"));
  EXPECT_EQ(store().rows().CountSnapshots(id), 3U);
  store().SetPinned(Snapshot("w", "c").id, false);
  EXPECT_EQ(ForgetWhole(store(), id), 3U);
  EXPECT_EQ(store().rows().FindWorkspace("w"), std::nullopt);
  EXPECT_EQ(Snapshot("fork", "of-fork").parent_name, "");
  ExpectSound();
  Reopen();
  EXPECT_EQ(Read(Workspace("fork").volume), "1");
  ExpectSound();
}

TEST_F(CleanupTest, TheLimitIsExact) {
  Make({"a", "b"});
  store().SetSetting(Workspace("w").id, kLimitSnapshots, "3");
  Make({"c"});
  const auto one_more = [&] { CheckpointWhole(store(), Workspace("w").id, {.name = "d"}); };
  EXPECT_EQ(ErrnoOf(one_more), EDQUOT);
  Rollback("w", Snapshot("w", "a"));
  EXPECT_EQ(ErrnoOf(one_more), EDQUOT);
  store().DeleteSnapshot(Snapshot("w", "b").id, false);
  EXPECT_EQ(ErrnoOf(one_more), 0);
}

TEST_F(CleanupTest, HoldsAreReleasedOneByOne) {
  Make({"a", "b"});
  const int64_t id = Snapshot("w", "a").id;
  const auto release = [&](const std::string& tag) {
    return ErrnoOf([&] { store().SetHold(id, tag, false); });
  };
  const auto remove = [&] { return ErrnoOf([&] { store().DeleteSnapshot(id, true); }); };
  for (const char* tag : {"two", "one", "one"}) store().SetHold(id, tag, true);
  EXPECT_THAT(Snapshot("w", "a").holds, ElementsAre("one", "two"));
  EXPECT_EQ(release("three"), ENOENT);
  EXPECT_EQ(release(""), EINVAL);
  EXPECT_EQ(release("one"), 0);
  EXPECT_EQ(remove(), EBUSY);
  EXPECT_EQ(ErrnoOf([&] { ForgetWhole(store(), Workspace("w").id); }), EBUSY);
  Reopen();
  EXPECT_THAT(Snapshot("w", "a").holds, ElementsAre("two"));
  EXPECT_EQ(release("two"), 0);
  EXPECT_EQ(remove(), 0);
}

TEST_F(CleanupTest, HoldsHaveALimit) {
  Make({"a"});
  const int64_t id = Snapshot("w", "a").id;
  for (size_t i = 0; i < kHoldsMax; ++i) store().SetHold(id, std::to_string(i), true);
  store().SetHold(id, "0", true);
  EXPECT_EQ(ErrnoOf([&] { store().SetHold(id, "more", true); }), ENOSPC);
}

TEST_F(CleanupTest, SettingsGoWithTheirWorkspace) {
  const int64_t id = Workspace("w").id;
  store().SetSetting(id, "keep.last", "3");
  RemoveWhole(store(), id);
  EXPECT_THAT(store().rows().SettingsOf(id), IsEmpty());
  EXPECT_EQ(ErrnoOf([&] { store().SetSetting(id, "keep.last", "3"); }), ENOENT);
}

}  // namespace
}  // namespace ckptfs
