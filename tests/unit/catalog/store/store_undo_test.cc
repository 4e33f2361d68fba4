// The limit on states that rollbacks keep, and what a checkpoint records of open files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "backend/base/time.h"
#include "catalog/db/catalog.h"
#include "catalog/store/cautious_clock.h"
#include "catalog/store/rollback_retention.h"
#include "tests/unit/catalog/store/store_fixture.h"
#include "tests/unit/catalog/store/whole_operations.h"

namespace ckptfs {
namespace {

using std::chrono::hours;
using std::chrono::nanoseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class UndoTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    Limit(SIZE_MAX, hours(1));
    MakeWorkspace("w", "first");
    start_ = Checkpoint("w", "start");
  }

  void Limit(size_t keep, nanoseconds time) {
    StoreOptions options = Options();
    options.undo_keep = keep;
    options.undo_keep_time = time;
    Reopen(options);
  }
  // So many rollbacks, each of a state of its own.
  void RollBack(int times) {
    for (int i = 0; i < times; ++i) {
      Write("w", "state " + std::to_string(i));
      ASSERT_TRUE(Rollback("w", start_).kept.has_value());
    }
  }
  std::vector<SnapshotRecord> Kept() {
    std::vector<SnapshotRecord> kept;
    for (const SnapshotRecord& snapshot : store().rows().ListSnapshots(Workspace("w").id)) {
      if (snapshot.kind == SnapshotKind::kPreRollback) kept.push_back(snapshot);
    }
    return kept;
  }
  std::vector<std::string> KeptContents() {
    std::vector<std::string> contents;
    for (const SnapshotRecord& snapshot : Kept()) contents.push_back(Read(snapshot.volume));
    return contents;
  }
  // Deletes what the limit wants, and returns what the last step said about later.
  std::optional<nanoseconds> DeleteAll() {
    while (true) {
      const UndoLimitStep step = store().LimitUndo(Workspace("w").id);
      if (!step.deleted) return step.wait;
    }
  }
  void Query(const std::string& sql) {
    Close();
    const UniqueFd directory = StoreFd();
    Database database(directory.get(), Catalog::kFileName);
    database.Execute(sql);
  }

  SnapshotRecord start_;
};

TEST_F(UndoTest, TheNewestStayAndTheyAreWhatTheyWere) {
  RollBack(5);
  Limit(2, nanoseconds(0));
  EXPECT_FALSE(DeleteAll().has_value());
  EXPECT_THAT(KeptContents(), ElementsAre("state 3", "state 4"));
  EXPECT_EQ(Snapshot("w", "start").uuid, start_.uuid);
  ExpectSound();
}

TEST_F(UndoTest, FewAreLeftAlone) {
  RollBack(2);
  Limit(2, nanoseconds(0));
  EXPECT_FALSE(DeleteAll().has_value());
  EXPECT_THAT(Kept(), SizeIs(2));
}

TEST_F(UndoTest, TheYoungStayHoweverManyTheyAre) {
  RollBack(4);
  Limit(1, hours(1));
  const std::optional<nanoseconds> wait = DeleteAll();
  EXPECT_THAT(Kept(), SizeIs(4));
  ASSERT_TRUE(wait.has_value());
  EXPECT_LE(*wait, hours(1));
  EXPECT_GT(*wait, std::chrono::minutes(50));
}

TEST_F(UndoTest, ThePinnedStayAndDoNotCount) {
  RollBack(4);
  store().SetPinned(Kept().at(0).id, true);
  store().SetPinned(Kept().at(3).id, true);
  Limit(1, nanoseconds(0));
  DeleteAll();
  EXPECT_THAT(KeptContents(), ElementsAre("state 0", "state 2", "state 3"));
  store().SetPinned(Kept().at(0).id, false);
  DeleteAll();
  EXPECT_THAT(KeptContents(), ElementsAre("state 2", "state 3"));
}

TEST_F(UndoTest, TheHeldStay) {
  RollBack(4);
  store().SetHold(Kept().at(1).id, "copy", true);
  Limit(1, nanoseconds(0));
  DeleteAll();
  EXPECT_THAT(KeptContents(), ElementsAre("state 1", "state 3"));
  store().SetHold(Kept().at(0).id, "copy", false);
  DeleteAll();
  EXPECT_THAT(KeptContents(), ElementsAre("state 3"));
}

TEST_F(UndoTest, ChildrenOfADeletedStateGetItsParent) {
  RollBack(1);
  const SnapshotRecord kept = Kept().at(0);
  Rollback("w", kept);
  const SnapshotRecord child = Checkpoint("w", "child");
  EXPECT_EQ(child.parent_id, kept.id);
  Limit(0, nanoseconds(0));
  DeleteAll();
  EXPECT_THAT(Kept(), IsEmpty());
  EXPECT_EQ(Snapshot("w", "child").parent_id, kept.parent_id);
  EXPECT_EQ(Read(Snapshot("w", "child").volume), "state 0");
  ExpectSound();
}

TEST_F(UndoTest, AStateFromTheFutureIsYoung) {
  RollBack(3);
  // As if the clock had been set back by a day since.
  Query("UPDATE snapshot SET created_ns = created_ns + 86400000000000");
  Limit(0, hours(1));
  EXPECT_TRUE(DeleteAll().has_value());
  EXPECT_THAT(Kept(), SizeIs(3));
}

TEST_F(UndoTest, AnOldStateIsDeletedAsSoonAsItIsOld) {
  RollBack(3);
  Query("UPDATE snapshot SET created_ns = created_ns - 3600000000000");
  Limit(0, hours(1));
  EXPECT_FALSE(DeleteAll().has_value());
  EXPECT_THAT(Kept(), IsEmpty());
}

TEST_F(UndoTest, NothingIsDeletedOfAReadOnlyStore) {
  RollBack(2);
  StoreOptions options = Options();
  options.read_only = options.backend_options.read_only = true;
  options.undo_keep = 0;
  options.undo_keep_time = nanoseconds(0);
  Reopen(options);
  EXPECT_FALSE(DeleteAll().has_value());
  EXPECT_THAT(Kept(), SizeIs(2));
}

TEST_F(UndoTest, TheLimiterWorksAtItsStartAndWhenAsked) {
  RollBack(3);
  Limit(1, nanoseconds(0));
  std::mutex mutex;
  std::vector<VolumeId> deleted;
  RollbackRetention limiter(store(), [&](const SnapshotRecord& snapshot) {
    const std::lock_guard lock(mutex);
    deleted.push_back(snapshot.volume);
  });
  const auto await = [&](size_t count) {
    for (int i = 0; i < 2000; ++i) {
      {
        const std::lock_guard lock(mutex);
        if (deleted.size() >= count) return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ADD_FAILURE() << "there were only " << deleted.size() << " deletions of " << count;
  };
  await(2);
  RollBack(4);
  limiter.Look(Workspace("w").id);
  await(6);
  EXPECT_THAT(KeptContents(), ElementsAre("state 3"));
}

TEST_F(UndoTest, TheLimiterWaitsForThoseThatAreTooYoung) {
  Limit(0, std::chrono::milliseconds(500));
  const int64_t before_ns = NowNs();
  std::atomic<int64_t> deleted_ns = 0;
  RollbackRetention limiter(store(), [&](const SnapshotRecord&) { deleted_ns = NowNs(); });
  RollBack(1);
  limiter.Look(Workspace("w").id);
  for (int i = 0; i < 2000 && deleted_ns == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_GE(deleted_ns - before_ns, 500'000'000);
  EXPECT_THAT(Kept(), IsEmpty());
}

TEST(CautiousClockTest, IsTheTimeOfDay) {
  const CautiousClock clock;
  const int64_t now_ns = clock.NowNs();
  EXPECT_LE(now_ns, NowNs());
  EXPECT_GT(now_ns, NowNs() - 1'000'000'000);
}

class WriterRecordTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (!IsSkipped()) Reopen();
  }
};

TEST_F(WriterRecordTest, ACheckpointRecordsWhatItIsTold) {
  const WorkspaceRecord workspace = MakeWorkspace("w", "x");
  const SnapshotRecord snapshot = CheckpointWhole(store(), workspace.id, {.name = "s"});
  store().NoteOpenWriters(snapshot,
                          {.named = {{.pid = 5, .command = "c", .path = "f"}}, .total = 9});
  Reopen();
  const OpenWriterList writers = store().rows().OpenWriters(snapshot.id).value();
  EXPECT_EQ(writers.total, 9U);
  EXPECT_EQ(writers.named.at(0).command, "c");
  EXPECT_FALSE(store().rows().OpenWriters(Checkpoint("w", "nobody asked").id).has_value());
  store().DeleteSnapshot(snapshot.id, false);
  store().NoteOpenWriters(snapshot, {.named = {{}}, .total = 1});  // found out too late
  EXPECT_FALSE(store().rows().OpenWriters(snapshot.id).has_value());
  ExpectSound();
}

// They are in no sidecar, and the snapshot comes back without them.
TEST_F(WriterRecordTest, ARebuiltCatalogDoesNotKnow) {
  const WorkspaceRecord workspace = MakeWorkspace("w", "x");
  const SnapshotRecord snapshot = CheckpointWhole(store(), workspace.id, {.name = "s"});
  store().NoteOpenWriters(snapshot, {.named = {{}}, .total = 1});
  Close();
  const UniqueFd directory = StoreFd();
  for (const char* name : {"catalog.db", "catalog.db-wal"}) {
    unlinkat(directory.get(), name, 0);
  }
  Reopen();
  EXPECT_FALSE(store().rows().OpenWriters(Snapshot("w", "s").id).has_value());
}

}  // namespace
}  // namespace ckptfs
