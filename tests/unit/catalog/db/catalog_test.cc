#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "catalog/db/catalog_transaction.h"
#include "catalog/db/schema.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class CatalogTest : public testing::Test {
 protected:
  CatalogTest() {
    Catalog::Create(directory_.fd(), Catalog::kFileName, facts_);
    Open();
  }
  void Open() {
    catalog_.reset();
    catalog_ = Catalog::Open(directory_.fd(), Catalog::kFileName, CatalogCheck::kFull);
  }
  int64_t AddWorkspace(const std::string& name) {
    Catalog::Transaction transaction(*catalog_);
    const int64_t id =
        transaction.Insert(WorkspaceRecord{.name = name,
                                           .volume = VolumeId::Generate(),
                                           .created_ns = 1,
                                           .view = catalog_->NextView(ViewUse::kWorkspace)});
    transaction.Commit();
    return id;
  }
  int64_t AddSnapshot(int64_t workspace, const std::string& name,
                      std::optional<int64_t> parent = {},
                      SnapshotKind kind = SnapshotKind::kManual) {
    Catalog::Transaction transaction(*catalog_);
    const int64_t id =
        transaction.Insert(SnapshotRecord{.uuid = Uuid::Generate(),
                                          .workspace_id = workspace,
                                          .name = name,
                                          .volume = VolumeId::Generate(),
                                          .parent_id = parent,
                                          .kind = kind,
                                          .view = catalog_->NextView(ViewUse::kSnapshot),
                                          .root = {.mode = S_IFDIR | 0755}});
    transaction.Commit();
    return id;
  }
  int64_t AddKept(int64_t workspace, const std::string& name) {
    return AddSnapshot(workspace, name, {}, SnapshotKind::kPreRollback);
  }
  int ErrnoOf(const std::function<void()>& action) {
    try {
      action();
      return 0;
    } catch (const Error& error) {
      return error.errno_value();
    }
  }

  TestDirectory directory_;
  const StoreFacts facts_{.uuid = Uuid::Generate(),
                          .created_ns = 7,
                          .backend_type = "btrfs-loop",
                          .backend_selection = "auto: test",
                          .backend_selected_ns = 8};
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, KeepsWhatItWasMadeWith) {
  Open();
  EXPECT_EQ(catalog_->Facts().uuid, facts_.uuid);
  EXPECT_EQ(catalog_->Facts().backend_selection, "auto: test");
  EXPECT_EQ(catalog_->Generation(), 0U);
  EXPECT_EQ(catalog_->MountRoot().mode, S_IFDIR | 0755U);
  EXPECT_EQ(ErrnoOf([&] { Catalog::Create(directory_.fd(), Catalog::kFileName, facts_); }), EEXIST);
}

TEST_F(CatalogTest, ARowComesBackAsItWasPutIn) {
  const int64_t workspace = AddWorkspace("w");
  SnapshotRecord snapshot{.uuid = Uuid::Generate(),
                          .workspace_id = workspace,
                          .name = "s",
                          .volume = VolumeId::Generate(),
                          .created_ns = 123,
                          .message = "line\nline",
                          .metadata = R"({"a":[1]})",
                          .pinned = true,
                          .kind = SnapshotKind::kPreRollback,
                          .state = SnapshotState::kMissing,
                          .view = 99,
                          .root = {.mode = S_IFDIR | 01770,
                                   .uid = 4,
                                   .gid = 5,
                                   .acl = std::string("\x02\0\0\xff", 4),
                                   .xattr_names = std::string("user.a\0user.b\0", 14)},
                          .unlinked_open = 3,
                          .moment = SnapshotMoment::kCrashConsistent,
                          .moment_reason = "it is so"};
  {
    Catalog::Transaction transaction(*catalog_);
    snapshot.id = transaction.Insert(snapshot);
    EXPECT_EQ(transaction.Commit(), 2U);
  }
  Open();
  const SnapshotRecord found = catalog_->FindSnapshot(workspace, "s").value();
  EXPECT_EQ(found.id, snapshot.id);
  EXPECT_EQ(found.uuid, snapshot.uuid);
  EXPECT_EQ(found.volume, snapshot.volume);
  EXPECT_EQ(found.created_ns, 123);
  EXPECT_EQ(found.message, snapshot.message);
  EXPECT_EQ(found.metadata, snapshot.metadata);
  EXPECT_TRUE(found.pinned);
  EXPECT_EQ(found.kind, SnapshotKind::kPreRollback);
  EXPECT_EQ(found.state, SnapshotState::kMissing);
  EXPECT_EQ(found.view, 99U);
  EXPECT_EQ(found.root.acl, snapshot.root.acl);
  EXPECT_EQ(found.root.xattr_names, snapshot.root.xattr_names);
  EXPECT_EQ(found.unlinked_open, 3);
  EXPECT_EQ(found.moment, SnapshotMoment::kCrashConsistent);
  EXPECT_EQ(found.moment_reason, "it is so");
  EXPECT_EQ(catalog_->FindSnapshot(found.uuid)->id, found.id);
  EXPECT_EQ(catalog_->FindSnapshotByVolume(found.volume)->id, found.id);
}

TEST_F(CatalogTest, NamesAreUniqueWithinAWorkspace) {
  const int64_t a = AddWorkspace("a");
  const int64_t b = AddWorkspace("b");
  AddSnapshot(a, "s");
  AddSnapshot(b, "s");
  EXPECT_EQ(ErrnoOf([&] { AddSnapshot(a, "s"); }), EEXIST);
  EXPECT_EQ(ErrnoOf([&] { AddWorkspace("a"); }), EEXIST);
  EXPECT_EQ(catalog_->Generation(), 4U);  // what failed does not count
}

TEST_F(CatalogTest, ListsInPiecesByAge) {
  const int64_t w = AddWorkspace("w");
  const int64_t s1 = AddSnapshot(w, "z");
  const int64_t s2 = AddSnapshot(w, "a", s1);
  const int64_t s3 = AddSnapshot(w, "m", s2);
  const auto ids = [](const std::vector<SnapshotRecord>& records) {
    std::vector<int64_t> found;
    found.reserve(records.size());
    for (const SnapshotRecord& record : records) found.push_back(record.id);
    return found;
  };
  EXPECT_THAT(ids(catalog_->ListSnapshots(w, 0, SIZE_MAX)), ElementsAre(s1, s2, s3));
  EXPECT_THAT(ids(catalog_->ListSnapshots(w, s1, 1)), ElementsAre(s2));
  EXPECT_EQ(catalog_->NewestSnapshot(w)->parent_name, "a");
  EXPECT_EQ(catalog_->CountSnapshots(w), 3U);
  EXPECT_EQ(catalog_->CountSnapshots(w + 1), 0U);
}

TEST_F(CatalogTest, RowsThatAreReferredToStay) {
  const int64_t w = AddWorkspace("w");
  AddSnapshot(w, "s");
  EXPECT_EQ(ErrnoOf([&] {
              Catalog::Transaction transaction(*catalog_);
              transaction.DeleteWorkspace(w);
              transaction.Commit();
            }),
            EINVAL);
  EXPECT_TRUE(catalog_->FindWorkspace("w"));
}

TEST_F(CatalogTest, IdsAreNotUsedTwice) {
  const int64_t w = AddWorkspace("w");
  const int64_t s = AddSnapshot(w, "s");
  {
    Catalog::Transaction transaction(*catalog_);
    transaction.DeleteSnapshot(s);
    transaction.Commit();
  }
  EXPECT_GT(AddSnapshot(w, "s"), s);
}

TEST_F(CatalogTest, AChangedListHasALaterTime) {
  const int64_t w = AddWorkspace("w");
  const auto touch = [&](int64_t now_ns) {
    Catalog::Transaction transaction(*catalog_);
    transaction.TouchSnapshots(w, now_ns);
    transaction.Commit();
    return catalog_->SnapshotsChangedNs(w);
  };
  EXPECT_EQ(touch(50), 50);
  EXPECT_EQ(touch(50), 51);
  EXPECT_EQ(touch(20), 52);  // the clock went back
}

TEST_F(CatalogTest, AChangeOfNothingDoesNotCountAsAFlush) {
  const int64_t id = AddWorkspace("w");
  {
    Catalog::Transaction transaction(*catalog_, Durability::kWithNextFlush);
    transaction.RenameWorkspace(id, "renamed");
    transaction.Commit();
  }
  {
    Catalog::Transaction transaction(*catalog_);
    transaction.DropTombstone(VolumeId::Generate());
    transaction.CommitUncounted();
  }
  // A log that cannot be flushed shows whether anybody tries.
  const std::string log = directory_.Path("catalog.db-wal");
  std::filesystem::rename(log, log + ".away");
  std::filesystem::create_directory_symlink("nowhere", log);
  EXPECT_THROW(catalog_->Flush(), Error);
  std::filesystem::rename(log + ".away", log);
  EXPECT_TRUE(catalog_->is_uncertain());
  EXPECT_EQ(ErrnoOf([&] { Catalog::Transaction transaction(*catalog_); }), EIO);
}

TEST_F(CatalogTest, WhoHadFilesOpenGoesWithTheSnapshot) {
  const int64_t workspace = AddWorkspace("w");
  const int64_t one = AddSnapshot(workspace, "one");
  const int64_t two = AddSnapshot(workspace, "two");
  const std::string odd = "a\nb/\xff";
  {
    Catalog::Transaction transaction(*catalog_);
    transaction.SetOpenWriters(one, {.named = {{.pid = 4000000, .command = "c\xfe", .path = odd},
                                               {.pid = 0, .command = "", .path = ""}},
                                     .total = 1002});
    transaction.SetOpenWriters(two, {});
    transaction.Commit();
  }
  Open();
  const OpenWriterList writers = catalog_->OpenWriters(one).value();
  EXPECT_EQ(writers.total, 1002U);
  ASSERT_EQ(writers.named.size(), 2U);
  EXPECT_EQ(writers.named[0].path, odd);
  EXPECT_EQ(writers.named[0].command, "c\xfe");
  EXPECT_EQ(writers.named[0].pid, 4000000);
  EXPECT_EQ(writers.named[1].path, "");
  EXPECT_EQ(catalog_->OpenWriters(two).value().total, 0U);  // nobody, and that is known
  EXPECT_FALSE(catalog_->OpenWriters(AddSnapshot(workspace, "three")).has_value());
  {
    Catalog::Transaction transaction(*catalog_);
    transaction.DeleteSnapshot(one);
    transaction.Commit();
  }
  catalog_.reset();
  Database database(directory_.fd(), Catalog::kFileName);
  EXPECT_EQ(database.PragmaInt("SELECT count(*) FROM open_writer"), 0);
}

TEST_F(CatalogTest, KeptStatesAreNoCheckpoints) {
  const int64_t w = AddWorkspace("w");
  const int64_t other = AddWorkspace("other");
  AddKept(w, "kept 1");
  EXPECT_EQ(catalog_->NewestCheckpoint(w, 1), std::nullopt);
  EXPECT_EQ(catalog_->NewestSnapshot(w)->name, "kept 1");
  AddSnapshot(w, "a");
  AddKept(w, "kept 2");
  AddSnapshot(w, "b");
  AddSnapshot(other, "c");
  AddKept(w, "kept 3");
  EXPECT_EQ(catalog_->NewestCheckpoint(w, 1)->name, "b");
  EXPECT_EQ(catalog_->NewestCheckpoint(w, 2)->name, "a");
  EXPECT_EQ(catalog_->NewestCheckpoint(w, 3), std::nullopt);
  EXPECT_EQ(catalog_->NewestCheckpoint(w, 0), std::nullopt);
  EXPECT_EQ(catalog_->NewestCheckpoint(w, UINT64_MAX), std::nullopt);
  EXPECT_EQ(catalog_->NewestSnapshot(w)->name, "kept 3");
  EXPECT_EQ(catalog_->CountCheckpoints(w), 2U);
  EXPECT_EQ(catalog_->CountSnapshots(w), 5U);
}

TEST_F(CatalogTest, SurplusUndoIsAllButTheNewestAndThePinned) {
  const int64_t workspace = AddWorkspace("w");
  const int64_t other = AddWorkspace("other");
  const auto add = [&](int64_t to, const std::string& name) { return AddKept(to, name); };
  const auto surplus = [&](size_t keep, size_t limit = SIZE_MAX) {
    std::vector<std::string> names;
    for (const SnapshotRecord& snapshot : catalog_->SurplusUndo(workspace, keep, limit)) {
      names.push_back(snapshot.name);
    }
    return names;
  };
  EXPECT_THAT(surplus(0), IsEmpty());
  const int64_t first = add(workspace, "1");
  const int64_t second = add(workspace, "2");
  AddSnapshot(workspace, "manual");
  add(workspace, "3");
  add(other, "not this one");
  add(workspace, "4");
  EXPECT_THAT(surplus(0), ElementsAre("1", "2", "3", "4"));
  EXPECT_THAT(surplus(2), ElementsAre("1", "2"));
  EXPECT_THAT(surplus(2, 1), ElementsAre("1"));
  EXPECT_THAT(surplus(4), IsEmpty());
  EXPECT_THAT(surplus(SIZE_MAX), IsEmpty());
  Catalog::Transaction transaction(*catalog_);
  transaction.SetPinned(first, true);
  transaction.SetState(second, SnapshotState::kMissing);
  transaction.Commit();
  EXPECT_THAT(surplus(0), ElementsAre("3", "4"));
  EXPECT_THAT(surplus(1), ElementsAre("3"));
}

TEST_F(CatalogTest, ReadersDoNotWaitForAChange) {
  const int64_t w = AddWorkspace("w");
  Catalog::Transaction transaction(*catalog_);
  transaction.RenameWorkspace(w, "x");
  std::thread([&] { EXPECT_EQ(catalog_->FindWorkspace(w)->name, "w"); }).join();
  transaction.Commit();
  EXPECT_EQ(catalog_->FindWorkspace(w)->name, "x");
}

TEST_F(CatalogTest, ManyThreads) {
  const int64_t w = AddWorkspace("w");
  std::atomic<bool> stop = false;
  std::vector<std::thread> readers;
  readers.reserve(3);
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      uint64_t last = 0;
      while (!stop) {
        const uint64_t count = catalog_->CountSnapshots(w);
        EXPECT_GE(count, last);
        last = count;
      }
    });
  }
  for (int i = 0; i < 50; ++i) AddSnapshot(w, "s" + std::to_string(i));
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_THAT(catalog_->Verify(), IsEmpty());
}

TEST_F(CatalogTest, VerifyFindsNumbersInUseTwice) {
  const int64_t w = AddWorkspace("w");
  const int64_t s = AddSnapshot(w, "s");
  SnapshotRecord record = catalog_->FindSnapshot(s).value();
  record.view = catalog_->FindWorkspace(w)->view;
  record.volume = catalog_->FindWorkspace(w)->volume;
  Catalog::Transaction transaction(*catalog_);
  transaction.Update(record);
  transaction.Commit();
  EXPECT_THAT(catalog_->Verify(),
              ElementsAre(HasSubstr("same view number"), HasSubstr("more than one owner")));
}

TEST_F(CatalogTest, RefusesWhatIsNoCatalogOfOurs) {
  const auto change_by_hand = [&](const std::string& sql) {
    catalog_.reset();
    Database(directory_.fd(), Catalog::kFileName).Execute(sql);
  };
  change_by_hand("PRAGMA user_version = " + std::to_string(CurrentSchemaVersion() + 1));
  EXPECT_EQ(ErrnoOf([&] { Open(); }), ENOTSUP);
  change_by_hand("PRAGMA user_version = 0");
  EXPECT_EQ(ErrnoOf([&] { Open(); }), EUCLEAN);
  change_by_hand("PRAGMA user_version = " + std::to_string(CurrentSchemaVersion()) +
                 "; PRAGMA application_id = 1");
  EXPECT_EQ(ErrnoOf([&] { Open(); }), EUCLEAN);
  change_by_hand("PRAGMA application_id = " + std::to_string(kCatalogApplicationId));
  Open();
  change_by_hand("DELETE FROM store");
  EXPECT_EQ(ErrnoOf([&] { Open(); }), EUCLEAN);
}

TEST_F(CatalogTest, ACopyIsACatalog) {
  AddWorkspace("w");
  catalog_->CopyTo("copy");
  const auto copy = Catalog::Open(directory_.fd(), "copy", CatalogCheck::kFull);
  EXPECT_TRUE(copy->FindWorkspace("w"));
}

}  // namespace
}  // namespace ckptfs
