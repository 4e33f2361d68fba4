// View numbers of what the store's operations make.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/db/catalog.h"
#include "catalog/sidecar/sidecar.h"
#include "tests/unit/catalog/recovery/store_open_fixture.h"

namespace ckptfs {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;

class StoreViewsTest : public StoreOpenTest {
 protected:
  // Rewrites the sidecar of a volume, of which there must be one.
  template <typename Edit>
  void EditSidecar(const VolumeId& volume, const Edit& edit) {
    const MetaDirectory meta(store().backend().meta_fd());
    Sidecar sidecar = meta.Read(volume).value();
    edit(sidecar);
    meta.Write(sidecar);
  }
  void LoseCatalog() {
    Close();
    fs::remove(StorePath() + "/catalog.db");
    Reopen();
  }
};

TEST_F(StoreViewsTest, LiveTreesHaveTheSmallOnes) {
  Fill();
  EXPECT_EQ(Workspace("w").view, 1U);
  EXPECT_EQ(Workspace("fork").view, 2U);
  EXPECT_EQ(Snapshot("w", "a").view, 4096U);
  const RollbackResult result = Rollback("w", Snapshot("w", "a"));
  EXPECT_EQ(Workspace("w").view, 1U);
  ASSERT_TRUE(result.kept);
  EXPECT_EQ(result.kept->view, 4099U);
  EXPECT_EQ(store().BeginWorkspace("import")->Commit().view, 3U);
}

TEST_F(StoreViewsTest, ANumberThatIsHeldIsNotGiven) {
  Fill();
  const uint64_t next = Snapshot("fork", "c").view + 1;
  store().SetViewHolder([&](uint64_t view) { return view == next || view == 3; });
  EXPECT_EQ(Checkpoint("w", "held").view, next + 1);
  EXPECT_EQ(MakeWorkspace("new").view, 4U);
  store().SetViewHolder(nullptr);
}

TEST_F(StoreViewsTest, ATombstoneKeepsItsNumber) {
  Fill();
  const SnapshotRecord c = Snapshot("fork", "c");
  store().DeleteSnapshot(c.id, false);
  store().Fsck(false);  // waits for the end of the volume
  Close();
  Sql("UPDATE view_range SET given = given - 1 WHERE first = 4096");
  Sql("INSERT INTO tombstone (volume, since_ns, view) VALUES "
      "('00000000-0000-4000-8000-000000000001', 1, " +
      std::to_string(c.view) + ")");
  const auto catalog = Catalog::Open(StoreFd().get(), Catalog::kFileName, CatalogCheck::kQuick);
  EXPECT_EQ(catalog->NextView(ViewUse::kSnapshot), c.view + 1);
}

TEST_F(StoreViewsTest, ARebuiltCatalogGoesOnBehindTheNewest) {
  Fill();
  const uint64_t newest = Snapshot("fork", "c").view;
  LoseCatalog();
  EXPECT_EQ(Checkpoint("w", "new").view, newest + 1);
  EXPECT_EQ(MakeWorkspace("new").view, 3U);
  ExpectSound();
}

TEST_F(StoreViewsTest, OfTwoSnapshotsWithOneNumberTheNewerHasItAfterARebuild) {
  Fill();
  const SnapshotRecord a = Snapshot("w", "a");
  const SnapshotRecord b = Snapshot("w", "b");
  EditSidecar(a.volume, [&](Sidecar& sidecar) { sidecar.snapshot.view = b.view; });
  LoseCatalog();
  EXPECT_EQ(Snapshot("w", "b").view, b.view);
  const uint64_t other = Snapshot("w", "a").view;
  EXPECT_GT(other, Snapshot("fork", "c").view);
  ExpectFilled();
  ExpectSound();
  Reopen();
  EXPECT_EQ(Snapshot("w", "a").view, other);
}

TEST_F(StoreViewsTest, ALiveTreeKeepsItsNumberBeforeASnapshot) {
  Fill();
  EditSidecar(Snapshot("w", "b").volume,
              [&](Sidecar& sidecar) { sidecar.snapshot.view = Workspace("fork").view; });
  const uint64_t fork = Workspace("fork").view;
  LoseCatalog();
  EXPECT_EQ(Workspace("fork").view, fork);
  EXPECT_NE(Snapshot("w", "b").view, fork);
  ExpectSound();
}

// Of a former workspace, whose number w has, something has come back.
TEST_F(StoreViewsTest, AFormerWorkspaceIsNotTakenForTheOneThatHasItsNumber) {
  Fill();
  const uint64_t view = Workspace("w").view;
  const VolumeId volume = Snapshot("w", "b").volume;
  const auto make_former = [&] {
    EditSidecar(volume, [&](Sidecar& sidecar) {
      sidecar.workspace.created_ns -= 1'000'000'000;
      sidecar.workspace.name = "former";
    });
  };
  make_former();
  Close();
  Sql("UPDATE workspace SET parent_id = NULL; DELETE FROM snapshot WHERE name = 'b'");
  Reopen();
  EXPECT_THAT(store().Fsck(true).problems, Contains(HasSubstr("its workspace former is gone")));
  EXPECT_EQ(store().rows().FindSnapshot(Workspace("w").id, "b"), std::nullopt);

  LoseCatalog();
  EXPECT_EQ(Workspace("w").view, view);
  EXPECT_EQ(store().rows().FindSnapshot(Workspace("w").id, "b"), std::nullopt);
  EXPECT_EQ(Read(Snapshot("former", "b").volume), "2");
  EXPECT_NE(Workspace("former").view, view);
}

// Fsck gives a live tree without a row its number again, unless another has it by now.
TEST_F(StoreViewsTest, AFoundLiveTreeWhoseNumberIsTakenGetsAnother) {
  Fill();
  const WorkspaceRecord empty = MakeWorkspace("found", "6");
  store().Fsck(false);
  Close();
  Sql("DELETE FROM workspace WHERE name = 'found'");
  Sql("UPDATE workspace SET view = " + std::to_string(empty.view) + " WHERE name = 'fork'");
  Reopen();
  EXPECT_THAT(store().Fsck(true).repaired, Contains(HasSubstr("as workspace found")));
  EXPECT_EQ(Workspace("fork").view, empty.view);
  EXPECT_NE(Workspace("found").view, empty.view);
  EXPECT_EQ(Read(Workspace("found").volume), "6");
}

}  // namespace
}  // namespace ckptfs
