#include "fs/nodes/views.h"

#include <gtest/gtest.h>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

SnapshotRecord Snapshot(int64_t id) {
  SnapshotRecord record;
  record.id = id;
  record.volume = VolumeId::Generate();
  record.view = static_cast<uint64_t>(id) + 100;
  return record;
}

TEST(SlotTableTest, OneSnapshotHasASlotForEachPlace) {
  SlotTable slots;
  const SnapshotRecord snapshot = Snapshot(7);
  const auto root = slots.AcquireSnapshot(snapshot, SnapDir::kRoot);
  const auto inner = slots.AcquireSnapshot(snapshot, SnapDir::kInner);
  EXPECT_NE(root->slot, inner->slot);
  EXPECT_EQ(root->number, inner->number);
  EXPECT_EQ(slots.AcquireSnapshot(snapshot, SnapDir::kRoot)->slot, root->slot);
  EXPECT_NE(root->slot, 0U) << "slot 0 is for what no volume holds";
}

TEST(SlotTableTest, ASlotLivesUntilItsLastLookupIsForgotten) {
  SlotTable slots;
  const Slot slot = slots.AcquireSnapshot(Snapshot(1), SnapDir::kRoot)->slot;
  slots.Count(slot);
  slots.Forget(slot, 1);
  EXPECT_NE(slots.Find(slot), nullptr);
  slots.Forget(slot, 1);
  EXPECT_EQ(slots.Find(slot), nullptr);
  EXPECT_EQ(slots.size(), 0U);
}

TEST(SlotTableTest, ARenewedSnapshotGetsANewSlotAndKeepsTheOldOneServed) {
  SlotTable slots;
  const SnapshotRecord snapshot = Snapshot(1);
  const Slot before = slots.AcquireSnapshot(snapshot, SnapDir::kRoot)->slot;
  slots.RenewSnapshot(snapshot.id, SnapDir::kRoot);
  const Slot after = slots.AcquireSnapshot(snapshot, SnapDir::kRoot)->slot;
  EXPECT_NE(before, after);
  EXPECT_NE(slots.Find(before), nullptr);
  slots.Forget(before, 1);
  // Forgetting the old one must not take the new one's place in the books.
  EXPECT_EQ(slots.AcquireSnapshot(snapshot, SnapDir::kRoot)->slot, after);
}

TEST(SlotTableTest, ASnapshotKeepsItsSlotAndGenerationWhenTheKernelHasForgottenIt) {
  SlotTable slots;
  const SnapshotRecord snapshot = Snapshot(1);
  const auto before = slots.AcquireSnapshot(snapshot, SnapDir::kInner);
  const Slot slot = before->slot;
  slots.Forget(slot, 1);
  ASSERT_EQ(slots.Find(slot), nullptr);
  EXPECT_EQ(slots.RootOf(1, SnapDir::kInner), 0U) << "the kernel knows none of its nodes";
  const auto kept = slots.SnapshotOf(slot);
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->snapshot_id, 1);
  EXPECT_EQ(kept->place, SnapDir::kInner);
  EXPECT_NE(slots.AcquireSnapshot(Snapshot(2), SnapDir::kInner)->slot, slot);
  const auto after = slots.AcquireSnapshot(snapshot, SnapDir::kInner);
  EXPECT_EQ(after->slot, slot);
  EXPECT_EQ(after->generation, before->generation);
}

TEST(SlotTableTest, TheSlotOfADeletedSnapshotIsFreeForAViewOfAnotherGeneration) {
  SlotTable slots;
  const auto forgotten = slots.AcquireSnapshot(Snapshot(1), SnapDir::kRoot);
  const Slot slot = forgotten->slot;
  slots.Forget(slot, 1);
  slots.RenewSnapshot(1, SnapDir::kRoot);
  EXPECT_FALSE(slots.SnapshotOf(slot).has_value());
  const auto other = slots.AcquireSnapshot(Snapshot(2), SnapDir::kRoot);
  EXPECT_EQ(other->slot, slot);
  EXPECT_NE(other->generation, forgotten->generation);
  slots.RenewSnapshot(2, SnapDir::kRoot);  // deleted while the kernel knows it
  EXPECT_NE(slots.Find(slot), nullptr);
  slots.Forget(slot, 1);
  EXPECT_EQ(slots.AcquireSnapshot(Snapshot(3), SnapDir::kRoot)->slot, slot);
}

TEST(SlotTableTest, APinnedSlotStaysWithoutLookups) {
  SlotTable slots;
  const Slot slot = slots.AddLiveDirectories(nullptr, 5);
  slots.Count(slot);
  slots.Forget(slot, 1);
  ASSERT_NE(slots.Find(slot), nullptr);
  slots.Unpin(slot);
  EXPECT_EQ(slots.Find(slot), nullptr);
}

TEST(SlotTableTest, AnUnpinnedSlotGoesWithItsLastLookup) {
  SlotTable slots;
  const Slot slot = slots.AddLiveDirectories(nullptr, 5);
  slots.Count(slot);
  slots.Unpin(slot);
  EXPECT_NE(slots.Find(slot), nullptr);
  slots.Forget(slot, 1);
  EXPECT_EQ(slots.Find(slot), nullptr);
}

TEST(SlotTableTest, ANumberIsHeldWhileTheKernelKnowsOneOfItsNodes) {
  SlotTable slots;
  const SnapshotRecord snapshot = Snapshot(1);
  EXPECT_FALSE(slots.HasNumber(snapshot.view));
  const Slot root = slots.AcquireSnapshot(snapshot, SnapDir::kRoot)->slot;
  const Slot inner = slots.AcquireSnapshot(snapshot, SnapDir::kInner)->slot;
  slots.Forget(root, 1);
  EXPECT_TRUE(slots.HasNumber(snapshot.view));
  slots.Forget(inner, 1);
  EXPECT_FALSE(slots.HasNumber(snapshot.view));
}

TEST(SlotTableTest, FilesOfAStateThatWasRolledBackHoldBothNumbers) {
  SlotTable slots;
  const auto files = slots.AddLiveFiles(nullptr, nullptr, 5);
  slots.Count(*files);
  slots.Renumber(*files, 4100);
  EXPECT_EQ(files->number, 4100U);
  slots.Unpin(files->slot);
  EXPECT_TRUE(slots.HasNumber(5)) << "the kernel shows it until it asks again";
  EXPECT_TRUE(slots.HasNumber(4100));
  slots.Forget(files->slot, 1);
  EXPECT_FALSE(slots.HasNumber(5));
  EXPECT_FALSE(slots.HasNumber(4100));
  slots.Renumber(*files, 4101);
  EXPECT_FALSE(slots.HasNumber(4101)) << "nobody can ask for these files any more";
}

TEST(SlotTableTest, CountingOnASlotThatHasGoneIsStale) {
  SlotTable slots;
  EXPECT_THROW(slots.Count(99), Error);
}

TEST(SlotTableTest, AViewWhoseSlotHasBecomeAnothersIsStale) {
  SlotTable slots;
  const auto files = slots.AddLiveFiles(nullptr, nullptr, 5);
  slots.Count(*files);
  slots.Forget(files->slot, 1);
  slots.Unpin(files->slot);
  const auto other = slots.AcquireSnapshot(Snapshot(1), SnapDir::kRoot);
  ASSERT_EQ(other->slot, files->slot) << "the test needs a slot that is used again";
  EXPECT_THROW(slots.Count(*files), Error);
  slots.Forget(other->slot, 1);
  EXPECT_EQ(slots.size(), 0U) << "nothing was counted on the other";
}

}  // namespace
}  // namespace ckptfs
