// What gc takes for garbage, and what not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "catalog/sidecar/sidecar.h"
#include "tests/unit/catalog/store/store_fixture.h"

namespace ckptfs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class GcTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    Reopen();
    MakeWorkspace("w", "1");
    Checkpoint("w", "a");
  }

  // "name action" of each thing that it tells of.
  std::vector<std::string> Collect(const GarbageRequest& request = {}) {
    std::vector<std::string> told;
    total_ = store().CollectGarbage(request, [&](const GarbageOutcome& outcome) {
      told.push_back(outcome.item.name + (outcome.spared.empty() ? " remove" : " keep"));
      EXPECT_EQ(outcome.error, "");
      EXPECT_EQ(outcome.was_removed, outcome.spared.empty() && !request.dry_run);
      return true;
    });
    return told;
  }
  VolumeId Lay(SidecarRole role, SidecarState state) {
    Sidecar sidecar;
    sidecar.volume = VolumeId::Generate();
    sidecar.role = role;
    sidecar.state = state;
    sidecar.generation = store().rows().Generation();
    sidecar.workspace = {.name = "lost", .volume = sidecar.volume, .created_ns = 1, .view = 77};
    sidecar.snapshot = Snapshot("w", "a");
    sidecar.snapshot.uuid = sidecar.snapshot.volume = sidecar.volume;
    MetaDirectory(store().backend().meta_fd()).Create(sidecar);
    store().backend().CreateEmpty(sidecar.volume);
    AgeSidecar(store(), sidecar.volume);
    return sidecar.volume;
  }
  bool IsThere(const VolumeId& volume) {
    return ErrnoOf([&] { store().backend().Open(volume); }) == 0;
  }

  GarbageTotal total_;
};

TEST_F(GcTest, AStoreInOrderHasNone) {
  EXPECT_THAT(Collect(), IsEmpty());
  ExpectSound();
}

TEST_F(GcTest, WhatOperationsHaveLeftGoes) {
  const VolumeId scratch = Lay(SidecarRole::kScratch, SidecarState::kPrepared);
  const VolumeId filling = Lay(SidecarRole::kWorkspace, SidecarState::kFilling);
  const VolumeId prepared = Lay(SidecarRole::kWorkspace, SidecarState::kPrepared);
  const auto all = testing::UnorderedElementsAre(
      scratch.str() + " remove", filling.str() + " remove", prepared.str() + " remove");
  EXPECT_THAT(Collect({.dry_run = true}), all);
  EXPECT_TRUE(IsThere(scratch) && IsThere(filling) && IsThere(prepared));
  EXPECT_THAT(Collect(), all);
  EXPECT_EQ(total_.removed, 3U);
  EXPECT_FALSE(IsThere(scratch) || IsThere(filling) || IsThere(prepared));
  ExpectSound();
  EXPECT_THAT(Collect(), IsEmpty());
}

// A caller may have been told that such a snapshot exists; and a volume that has had a row has data.
TEST_F(GcTest, WhatMayBeSomebodysStays) {
  const VolumeId prepared = Lay(SidecarRole::kSnapshot, SidecarState::kPrepared);
  const VolumeId committed = Lay(SidecarRole::kWorkspace, SidecarState::kCommitted);
  const VolumeId unknown = VolumeId::Generate();
  store().backend().CreateEmpty(unknown);
  EXPECT_THAT(Collect(), IsEmpty());
  EXPECT_TRUE(IsThere(prepared) && IsThere(committed) && IsThere(unknown));
}

TEST_F(GcTest, WhatIsYoungIsSpared) {
  const VolumeId volume = VolumeId::Generate();
  LayGarbage(store(), volume, /*with_volume=*/true);
  Sidecar sidecar;
  sidecar.volume = volume;
  MetaDirectory(store().backend().meta_fd()).Write(sidecar);
  EXPECT_THAT(Collect(), ElementsAre(volume.str() + " keep"));
  AgeSidecar(store(), volume);
  EXPECT_THAT(Collect(), ElementsAre(volume.str() + " remove"));
}

// However old it looks.
TEST_F(GcTest, WhatAnOperationHasInWorkIsNoGarbage) {
  const auto import = store().BeginWorkspace("imported");
  const VolumeId volume = import->volume().id();
  AgeSidecar(store(), volume);
  EXPECT_THAT(Collect(), IsEmpty());
  EXPECT_THAT(store().Fsck(true).problems, IsEmpty());
  import->Commit();
  EXPECT_THAT(Collect(), IsEmpty());
  EXPECT_EQ(Workspace("imported").volume, volume);
  ExpectSound();
}

TEST_F(GcTest, ASidecarWithoutAVolumeGoes) {
  const VolumeId volume = VolumeId::Generate();
  LayGarbage(store(), volume, /*with_volume=*/false);
  EXPECT_THAT(Collect(), ElementsAre("meta/" + volume.str() + ".json remove"));
  ExpectSound();
}

// After a rebuild it may be all that is known of a volume that comes back.
TEST_F(GcTest, ASidecarWithoutAVolumeStaysAfterARebuild) {
  Close();
  std::filesystem::remove(StorePath() + "/catalog.db");
  Reopen();
  LayGarbage(store(), VolumeId::Generate(), /*with_volume=*/false);
  EXPECT_THAT(Collect(), IsEmpty());
}

TEST_F(GcTest, ACatalogThatIsSetAsideGoesIfSomebodyAsks) {
  const std::string old = "catalog.db.damaged-20200101T000000Z-2-wal";
  const std::string fresh = "catalog.db.before-repair-20990101T000000Z";
  for (const std::string& name : {old, fresh}) {
    std::ofstream(StorePath() + "/" + name) << "a catalog";
    const std::array<timespec, 2> times{};
    utimensat(StoreFd().get(), name.c_str(), times.data(), 0);
  }
  const auto listed = [&](const char* of_old) {
    return testing::UnorderedElementsAre(old + of_old, fresh + " keep");
  };
  EXPECT_THAT(Collect({.is_automatic = true}), listed(" keep"));
  EXPECT_THAT(Collect(), listed(" remove"));
  EXPECT_FALSE(std::filesystem::exists(StorePath() + "/" + old));
}

TEST_F(GcTest, EndsWhenNobodyListens) {
  LayGarbage(store(), VolumeId::Generate(), /*with_volume=*/true);
  LayGarbage(store(), VolumeId::Generate(), /*with_volume=*/true);
  const auto total = store().CollectGarbage({}, [](const GarbageOutcome&) { return false; });
  EXPECT_EQ(total.removed, 1U);
  EXPECT_EQ(store().CollectGarbage({}).removed, 1U);
}

TEST_F(GcTest, AReadOnlyStoreIsOnlyLookedAt) {
  LayGarbage(store(), VolumeId::Generate(), /*with_volume=*/false);
  StoreOptions options = Options();
  options.read_only = options.backend_options.read_only = true;
  Reopen(options);
  EXPECT_EQ(store().CollectGarbage({.dry_run = true}).removed, 1U);
  EXPECT_EQ(ErrnoOf([&] { store().CollectGarbage({}); }), EROFS);
}

}  // namespace
}  // namespace ckptfs
