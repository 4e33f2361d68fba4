#include "catalog/sidecar/sidecar_writer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>

#include "catalog/db/catalog_transaction.h"
#include "catalog/db/sqlite.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

class SidecarWriterTest : public testing::Test {
 protected:
  SidecarWriterTest() {
    Catalog::Create(directory_.fd(), Catalog::kFileName,
                    {.uuid = Uuid::Generate(), .created_ns = 7, .backend_type = "btrfs-loop"});
    catalog_ = Catalog::Open(directory_.fd(), Catalog::kFileName, CatalogCheck::kQuick);
    Catalog::Transaction transaction(*catalog_);
    workspace_ =
        transaction.Insert(WorkspaceRecord{.name = "w",
                                           .volume = VolumeId::Generate(),
                                           .created_ns = 1,
                                           .view = catalog_->NextView(ViewUse::kWorkspace)});
    transaction.Commit();
  }

  SnapshotRecord Add(const std::string& name, std::optional<int64_t> parent) {
    SnapshotRecord record{.uuid = Uuid::Generate(),
                          .workspace_id = workspace_,
                          .name = name,
                          .volume = VolumeId::Generate(),
                          .parent_id = parent,
                          .view = catalog_->NextView(ViewUse::kSnapshot),
                          .root = {.mode = S_IFDIR | 0755}};
    Catalog::Transaction transaction(*catalog_);
    record.id = transaction.Insert(record);
    transaction.Commit();
    return record;
  }

  TestDirectory directory_;
  std::unique_ptr<Catalog> catalog_;
  int64_t workspace_ = 0;
};

// After damage in the catalog's file each sidecar counts: the catalog is rebuilt from them.
TEST_F(SidecarWriterTest, ADamagedRowOfTheParentKeepsNoSidecarFromBeingWritten) {
  const SnapshotRecord parent = Add("parent", {});
  const SnapshotRecord child = Add("child", parent.id);
  Database(directory_.fd(), Catalog::kFileName)
      .Run("UPDATE snapshot SET name = 'no/name' WHERE id = ?", parent.id);
  ASSERT_EQ(ErrorOf([&] { catalog_->FindSnapshot(parent.id); }).errno_value(), EUCLEAN);

  const MetaDirectory meta(directory_.fd());
  SidecarWriter(*catalog_, meta).Refresh(child.volume);
  const std::optional<Sidecar> written = meta.Read(child.volume);
  ASSERT_TRUE(written);
  EXPECT_EQ(written->snapshot.name, "child");
  EXPECT_EQ(written->parent, parent.uuid);
}

}  // namespace
}  // namespace ckptfs
