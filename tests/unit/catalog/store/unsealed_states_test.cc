#include "catalog/store/unsealed_states.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "tests/unit/backend/comparisons.h"
#include "tests/unit/catalog/store/store_fixture.h"
#include "tests/unit/catalog/store/whole_operations.h"

namespace ckptfs {
namespace {

class UnsealedStatesTest : public StoreTest {
 protected:
  bool IsReadOnly(const VolumeId& volume) {
    const std::vector<VolumeListing> volumes = store().backend().List();
    const auto found =
        std::find_if(volumes.begin(), volumes.end(),
                     [&](const VolumeListing& listing) { return listing.id == volume; });
    EXPECT_NE(found, volumes.end());
    return found != volumes.end() && found->read_only;
  }

  bool BecomesReadOnly(const VolumeId& volume) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!IsReadOnly(volume) && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return IsReadOnly(volume);
  }

  // Rolls w, which says "live", back to w/s, which says "s".
  SnapshotRecord KeepState(bool in_writing) {
    MakeWorkspace("w", "s");
    const SnapshotRecord snapshot = Checkpoint("w", "s");
    Write("w", "live");
    const RollbackResult result = RollBackWhole(store(), BackTo(snapshot), in_writing);
    EXPECT_EQ(result.in_writing, in_writing);
    return result.kept.value();
  }

  RollbackRequest BackTo(const SnapshotRecord& kept) {
    return {.workspace_id = Workspace("w").id, .snapshot_id = kept.id};
  }
};

TEST_F(UnsealedStatesTest, AQuietStateIsSealedSoon) {
  Reopen();
  EXPECT_TRUE(BecomesReadOnly(KeepState(false).volume));
  ExpectSound();
}

TEST_F(UnsealedStatesTest, AQuietStateIsSealedByWhoeverNeedsItSo) {
  Reopen();
  const SnapshotRecord kept = KeepState(false);
  store().Fork(kept.id, "fork");
  EXPECT_TRUE(IsReadOnly(kept.volume));
}

TEST_F(UnsealedStatesTest, AStateInWritingIsSealedWhenTheWritersAreGone) {
  Reopen();
  const SnapshotRecord kept = KeepState(true);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_FALSE(IsReadOnly(kept.volume));
  EXPECT_TRUE(store().Fsck(true).problems.empty());
  EXPECT_FALSE(IsReadOnly(kept.volume));
  store().WritersGone(kept.volume);
  EXPECT_TRUE(BecomesReadOnly(kept.volume));
  RollBackWhole(store(), BackTo(kept));
  EXPECT_EQ(Read(Workspace("w").volume), "live");
}

TEST_F(UnsealedStatesTest, AStateInWritingIsRefused) {
  Reopen();
  const SnapshotRecord kept = KeepState(true);
  EXPECT_EQ(ErrnoOf([&] { store().Fork(kept.id, "fork"); }), EBUSY);
  EXPECT_EQ(ErrnoOf([&] { store().BeginRollback(BackTo(kept)); }), EBUSY);
  EXPECT_EQ(ErrnoOf([&] { store().DeleteSnapshot(kept.id, false); }), EBUSY);
  RollbackRequest exchange = BackTo(kept);
  exchange.mode = ExchangeMode::kExchange;
  exchange.even_in_writing = true;
  EXPECT_EQ(ErrnoOf([&] { store().BeginRollback(exchange); }), EBUSY);
  store().DeleteSnapshot(kept.id, true);
  ExpectSound();
}

TEST_F(UnsealedStatesTest, TakenAsItIsItIsNoEqualOfWhatItBecomes) {
  Reopen();
  const SnapshotRecord kept = KeepState(true);
  RollbackRequest request = BackTo(kept);
  request.even_in_writing = true;
  RollBackWhole(store(), request);
  EXPECT_EQ(Read(Workspace("w").volume), "live");
  EXPECT_TRUE(ChangedSinceParent(store(), Workspace("w").id, NoLimits()));
  const RollbackResult again = Rollback("w", Snapshot("w", "s"));
  ASSERT_TRUE(again.kept.has_value());
  EXPECT_EQ(Read(again.kept->volume), "live");
}

TEST_F(UnsealedStatesTest, ADiffTakesItAsItIs) {
  Reopen();
  const SnapshotRecord kept = KeepState(true);
  const auto changes = CompareWhole(store(),
                                    {.older_snapshot_id = Snapshot("w", "s").id,
                                     .newer_snapshot_id = kept.id,
                                     .workspace_id = Workspace("w").id},
                                    NoLimits())
                           .All();
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes.front().path, "f");
  EXPECT_FALSE(IsReadOnly(kept.volume));
  ExpectSound();
}

TEST_F(UnsealedStatesTest, AStopSealsWhatIsLeft) {
  Reopen();
  const SnapshotRecord kept = KeepState(true);
  Close();
  StoreOptions options = Options();
  options.read_only = options.backend_options.read_only = true;  // does not seal by itself
  Reopen(options);
  EXPECT_TRUE(IsReadOnly(kept.volume));
}

}  // namespace
}  // namespace ckptfs
