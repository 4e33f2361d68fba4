// View numbers as the catalog gives them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "catalog/db/catalog_transaction.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

class CatalogViewsTest : public testing::Test {
 protected:
  CatalogViewsTest() {
    Catalog::Create(directory_.fd(), Catalog::kFileName,
                    {.uuid = Uuid::Generate(), .backend_type = "x"});
    catalog_ = Catalog::Open(directory_.fd(), Catalog::kFileName, CatalogCheck::kQuick);
    first_ = AddWorkspace("first");
  }

  void Sql(const std::string& text) { Database(directory_.fd(), Catalog::kFileName).Execute(text); }
  // As if that number had been the last that was given of its range.
  void SetGiven(uint64_t view) {
    Sql(fmt::format("UPDATE view_range SET given = {} WHERE first = {}", view,
                    RangeOf(view).first));
  }
  // Rows for all numbers from `first` to `last`.
  void AddMany(const char* table, uint64_t first, uint64_t last) {
    const bool snapshots = std::string(table) == "snapshot";
    Sql(fmt::format(
        "WITH RECURSIVE n (v) AS (SELECT {} UNION ALL SELECT v + 1 FROM n WHERE v < {}) "
        "INSERT INTO {} SELECT {} FROM n",
        first, last,
        snapshots
            ? "snapshot (uuid, workspace_id, name, volume, created_ns, kind, view, root_mode, "
              "root_uid, root_gid)"
            : "workspace (name, volume, created_ns, view, snapshots_changed_ns)",
        snapshots ? "printf('00000000-0000-4000-8000-%012x', v), 1, v, "
                    "printf('00000000-0000-4000-8000-%012x', v), 1, 'manual', v, 16877, 0, 0"
                  : "v, printf('00000000-0000-4000-8001-%012x', v), 1, v, 1"));
  }
  WorkspaceRecord AddWorkspace(const std::string& name) {
    WorkspaceRecord record{.name = name,
                           .volume = VolumeId::Generate(),
                           .created_ns = 1,
                           .view = catalog_->NextView(ViewUse::kWorkspace)};
    Catalog::Transaction transaction(*catalog_);
    record.id = transaction.Insert(record);
    transaction.Commit();
    return record;
  }
  SnapshotRecord AddSnapshot(const std::string& name) {
    SnapshotRecord record{.uuid = Uuid::Generate(),
                          .workspace_id = first_.id,
                          .name = name,
                          .volume = VolumeId::Generate(),
                          .view = catalog_->NextView(ViewUse::kSnapshot)};
    Catalog::Transaction transaction(*catalog_);
    record.id = transaction.Insert(record);
    transaction.Commit();
    return record;
  }
  void Delete(const SnapshotRecord& snapshot) {
    Catalog::Transaction transaction(*catalog_);
    transaction.DeleteSnapshot(snapshot.id);
    transaction.AddTombstone(snapshot.volume, snapshot.view, 1);
    transaction.Commit();
  }
  void DropTombstone(const VolumeId& volume) {
    Catalog::Transaction transaction(*catalog_);
    transaction.DropTombstone(volume);
    transaction.CommitUncounted();
  }
  uint64_t NextForSnapshot(const IsViewHeld& is_held = {}) {
    return catalog_->NextView(ViewUse::kSnapshot, is_held);
  }
  uint64_t NextForWorkspace() { return catalog_->NextView(ViewUse::kWorkspace); }

  TestDirectory directory_;
  std::unique_ptr<Catalog> catalog_;
  WorkspaceRecord first_;
};

TEST_F(CatalogViewsTest, WorkspacesAndSnapshotsHaveTheirOwn) {
  EXPECT_EQ(first_.view, 1U);
  EXPECT_EQ(AddSnapshot("a").view, 4096U);
  EXPECT_EQ(AddWorkspace("w").view, 2U);
  EXPECT_EQ(AddSnapshot("b").view, 4097U);
}

TEST_F(CatalogViewsTest, IsTheSameUntilARowHasIt) {
  EXPECT_EQ(NextForSnapshot(), NextForSnapshot());
  EXPECT_FALSE(catalog_->IsViewUsed(4096));
  const SnapshotRecord snapshot = AddSnapshot("a");
  EXPECT_TRUE(catalog_->IsViewUsed(snapshot.view));
  EXPECT_TRUE(catalog_->IsViewUsed(first_.view));
}

TEST_F(CatalogViewsTest, WhatIsGoneComesBackAfterAllOthers) {
  const SnapshotRecord gone = AddSnapshot("gone");
  AddSnapshot("stays");
  Delete(gone);
  DropTombstone(gone.volume);
  EXPECT_EQ(NextForSnapshot(), 4098U);
  SetGiven(8190);
  EXPECT_EQ(AddSnapshot("last").view, 8191U);
  EXPECT_EQ(AddSnapshot("round").view, gone.view);
  EXPECT_EQ(AddSnapshot("next").view, 4098U);
}

TEST_F(CatalogViewsTest, WorkspacesGoRoundToo) {
  SetGiven(4095);
  EXPECT_EQ(AddWorkspace("w").view, 2U);
  EXPECT_EQ(AddWorkspace("x").view, 3U);
}

TEST_F(CatalogViewsTest, SnapshotsWithoutEndLeaveTheNumbersOfWorkspacesAlone) {
  AddMany("snapshot", 4096, 8191);
  EXPECT_EQ(AddSnapshot("large").view, 8192U);
  EXPECT_EQ(AddSnapshot("larger").view, 8193U);
  EXPECT_EQ(NextForWorkspace(), 2U);
}

TEST_F(CatalogViewsTest, TheOnlyNumberThatIsFreeIsGivenRatherThanALargeOne) {
  AddMany("snapshot", 4096, 8191);
  const SnapshotRecord middle = catalog_->FindSnapshot(1, "6000").value();
  Delete(middle);
  EXPECT_EQ(NextForSnapshot(), 8192U) << "its volume may come back with its sidecar";
  DropTombstone(middle.volume);
  EXPECT_EQ(NextForSnapshot([](uint64_t view) { return view == 6000; }), 8192U);
  EXPECT_EQ(AddSnapshot("again").view, 6000U);
  EXPECT_EQ(NextForSnapshot(), 8192U);
}

TEST_F(CatalogViewsTest, WorkspacesTakeWhateverIsBelow8192) {
  AddMany("workspace", 2, 4095);
  EXPECT_EQ(AddWorkspace("w").view, 4096U);
  EXPECT_EQ(AddSnapshot("s").view, 4097U);
  AddMany("workspace", 4098, 8191);
  EXPECT_EQ(AddWorkspace("x").view, 8192U);
  EXPECT_EQ(AddSnapshot("t").view, 8193U);
  {
    Catalog::Transaction transaction(*catalog_);
    transaction.DeleteWorkspace(catalog_->FindWorkspace("77")->id);
    transaction.Commit();
  }
  EXPECT_EQ(AddWorkspace("y").view, 77U);
}

TEST_F(CatalogViewsTest, LargeNumbersGoRoundAndEndOneDay) {
  AddMany("snapshot", 4096, 8193);
  SetGiven(kMaxView - 1);
  EXPECT_EQ(AddSnapshot("last").view, kMaxView);
  EXPECT_EQ(AddSnapshot("round").view, 8194U);
  const auto all_but = [](uint64_t free) { return [=](uint64_t view) { return view != free; }; };
  EXPECT_EQ(NextForSnapshot(all_but(9000)), 9000U);
  EXPECT_EQ(ErrorOf([&] { NextForSnapshot(all_but(2)); }).errno_value(), ENOSPC);
}

TEST_F(CatalogViewsTest, AMillionCheckpointsThatCameAndWentAreNotSeen) {
  const SnapshotRecord kept = AddSnapshot("kept");
  SetGiven(4096 + 1'000'000 % 4096 - 1);
  for (int i = 0; i < 100; ++i) {
    const SnapshotRecord snapshot = AddSnapshot("s");
    EXPECT_LE(snapshot.view, kSnapshotViews.last);
    EXPECT_NE(snapshot.view, kept.view);
    Delete(snapshot);
    DropTombstone(snapshot.volume);
  }
  EXPECT_EQ(NextForWorkspace(), 2U);
}

TEST_F(CatalogViewsTest, ALargeNumberFromAnOlderProgramIsStillFoundToBeUsed) {
  AddMany("workspace", 8400, 8400);
  SetGiven(8399);
  AddMany("snapshot", 4096, 8191);
  EXPECT_EQ(NextForSnapshot(), 8401U);
  EXPECT_EQ(NextForWorkspace(), 2U);
}

TEST_F(CatalogViewsTest, AWorkspaceIsFoundByNumberAndTime) {
  EXPECT_EQ(catalog_->FindWorkspaceByView(first_.view, first_.created_ns)->name, "first");
  EXPECT_FALSE(catalog_->FindWorkspaceByView(first_.view, first_.created_ns + 1));
}

}  // namespace
}  // namespace ckptfs
