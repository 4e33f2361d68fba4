// Starting on stores whose catalog is lost, damaged or old, and on volumes that it does not know.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "backend/base/error.h"
#include "catalog/db/catalog.h"
#include "catalog/db/sqlite.h"
#include "catalog/sidecar/sidecar.h"
#include "tests/unit/catalog/recovery/store_open_fixture.h"

namespace ckptfs {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// --- Catalogs that are lost or damaged ----------------------------------------------------------

struct Damage {
  const char* name;
  void (*act)(const std::string& store_path);
  bool set_aside;
};

class RebuildTest : public StoreOpenTest, public testing::WithParamInterface<Damage> {};

TEST_P(RebuildTest, BringsBackEverything) {
  Fill();
  const StoreView before = Look(store());
  const std::vector<WorkspaceRecord> workspaces = store().rows().ListWorkspaces();
  const SnapshotRecord a = Snapshot("w", "a");
  const std::string selection = store().Status().backend_selection;
  Close();
  GetParam().act(StorePath());
  Reopen();
  EXPECT_THAT(store().Status().warnings, Contains(HasSubstr("rebuilt from the sidecars")));
  EXPECT_EQ(store().Status().backend_selection, selection);
  EXPECT_EQ(Look(store()), before);
  ExpectFilled();
  EXPECT_EQ(Snapshot("w", "a").uuid, a.uuid);
  EXPECT_EQ(Snapshot("w", "a").view, a.view);
  EXPECT_EQ(Snapshot("w", "a").created_ns, a.created_ns);
  for (const WorkspaceRecord& workspace : workspaces) {
    EXPECT_EQ(Workspace(workspace.name).view, workspace.view);
    EXPECT_EQ(Workspace(workspace.name).created_ns, workspace.created_ns);
  }
  ExpectSound();
  const auto damaged = [](const std::string& name) {
    return name.starts_with("catalog.db.damaged-");
  };
  const std::vector<std::string> files = Files();
  EXPECT_EQ(std::any_of(files.begin(), files.end(), damaged), GetParam().set_aside);
  MakeWorkspace("new", "5");  // with numbers of its own
  Reopen();
  EXPECT_THAT(store().Status().warnings, IsEmpty());
  ExpectSound();
}

void Overwrite(const std::string& path, off_t at, size_t size) {
  const UniqueFd file(CheckSyscall(open(path.c_str(), O_WRONLY | O_CLOEXEC), "open"));
  const std::string junk(size, '\xa5');
  CheckSyscall(pwrite(file.get(), junk.data(), junk.size(), at), "write");
}

const Damage kDamages[] = {
    {"Gone", [](const std::string& store) { fs::remove(store + "/catalog.db"); }, false},
    {"Empty", [](const std::string& store) { fs::resize_file(store + "/catalog.db", 0); }, true},
    {"Short", [](const std::string& store) { fs::resize_file(store + "/catalog.db", 9000); }, true},
    {"Header", [](const std::string& store) { Overwrite(store + "/catalog.db", 0, 100); }, true},
    {"Pages", [](const std::string& store) { Overwrite(store + "/catalog.db", 4096, 60000); },
     true},
    {"Text",
     [](const std::string& store) {
       std::ofstream(store + "/catalog.db") << std::string(20000, 'x');
     },
     true},
    {"OtherDatabase",
     [](const std::string& store) {
       fs::remove(store + "/catalog.db");
       std::ofstream(store + "/catalog.db").flush();
       const UniqueFd directory(open(store.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
       Database(directory.get(), "catalog.db").Execute("CREATE TABLE mail (text)");
     },
     true},
    {"NoRows",
     [](const std::string& store) {
       const UniqueFd directory(open(store.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
       Database(directory.get(), "catalog.db").Execute("DELETE FROM store");
     },
     true},
    {"NoTable",
     [](const std::string& store) {
       const UniqueFd directory(open(store.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
       Database(directory.get(), "catalog.db").Execute("DROP TABLE tombstone");
     },
     true},
};
INSTANTIATE_TEST_SUITE_P(Damages, RebuildTest, testing::ValuesIn(kDamages),
                         [](const auto& damage) { return std::string(damage.param.name); });

TEST_F(StoreOpenTest, NothingIsStartedEmptyOverALostBackend) {
  Fill();
  Close();
  fs::resize_file(StorePath() + "/catalog.db", 100);
  fs::rename(StorePath() + "/" + TestBackendMark(), directory_->Path("away"));
  EXPECT_EQ(OpenErrno(Options()), EUCLEAN);
  EXPECT_THAT(Files(), Not(Contains(TestBackendMark())));
}

TEST_F(StoreOpenTest, ADamagedSidecarCostsOnlyItself) {
  Fill();
  const SnapshotRecord a = Snapshot("w", "a");
  const VolumeId live = Workspace("w").volume;
  const int meta = store().backend().meta_fd();
  WriteFileAt(meta, a.volume.str() + ".json", "{\"format\":1,");
  Close();
  fs::remove(StorePath() + "/catalog.db");
  Reopen();
  const std::string recovered = "recovered-" + a.volume.str().substr(0, 8);
  EXPECT_EQ(Read(Snapshot("w", recovered).volume), "1");
  EXPECT_EQ(Snapshot("w", "b").parent_name, recovered);
  EXPECT_EQ(Snapshot("fork", "c").parent_name, recovered);
  EXPECT_EQ(Workspace("w").volume, live);
  ExpectSound();

  // The live tree's own: its name is known from the snapshots.
  ASSERT_EQ(unlinkat(store().backend().meta_fd(), (live.str() + ".json").c_str(), 0), 0);
  Close();
  fs::remove(StorePath() + "/catalog.db");
  Reopen();
  EXPECT_EQ(Workspace("w").volume, live);
  EXPECT_EQ(Snapshot("w", "b").message, "m b");
  ExpectSound();
}

TEST_F(StoreOpenTest, ALiveTreeOfWhichNothingIsKnownGetsAName) {
  Reopen();
  const VolumeId volume = MakeWorkspace("w", "1").volume;
  store().Fsck(false);  // waits for the sidecar
  WriteFileAt(store().backend().meta_fd(), volume.str() + ".json", "junk");
  Close();
  fs::remove(StorePath() + "/catalog.db");
  Reopen();
  EXPECT_EQ(Read(Workspace("recovered-" + volume.str().substr(0, 8)).volume), "1");
  ExpectSound();
}

TEST_F(StoreOpenTest, DamagedSidecarsAreWrittenAnewWhileTheCatalogIsThere) {
  Fill();
  const SnapshotRecord a = Snapshot("w", "a");
  WriteFileAt(store().backend().meta_fd(), a.volume.str() + ".json", "junk");
  const std::string half = VolumeId::Generate().str() + ".json.new";
  WriteFileAt(store().backend().meta_fd(), half, "half");
  EXPECT_THAT(store().Fsck(false).problems,
              AllOf(SizeIs(2), Contains(HasSubstr("is damaged")), Contains(HasSubstr(half))));
  EXPECT_THAT(store().Fsck(true).repaired, SizeIs(2));
  ExpectSound();
}

// --- A catalog from a backup --------------------------------------------------------------------

TEST_F(StoreOpenTest, AnOlderCatalogIsReadOnlyUntilRepaired) {
  Fill();
  Close();
  fs::copy_file(StorePath() + "/catalog.db", directory_->Path("backup"));
  Reopen();
  const int64_t before = Workspace("w").id;
  const SnapshotRecord late = Checkpoint("w", "late");
  store().RenameSnapshot(Snapshot("w", "b").id, "renamed");
  store().DeleteSnapshot(Snapshot("fork", "c").id, false);
  const StoreView newest = Look(store());
  Close();
  fs::rename(directory_->Path("backup"), StorePath() + "/catalog.db");
  Reopen();
  EXPECT_TRUE(store().Status().read_only);
  EXPECT_THAT(store().Status().warnings, Contains(HasSubstr("older than the store")));
  EXPECT_EQ(ErrnoOf([&] { Checkpoint("w", "x"); }), EROFS);
  EXPECT_FALSE(store().Fsck(false).problems.empty());
  Reopen();
  EXPECT_TRUE(store().Status().read_only);
  EXPECT_EQ(Read(late.volume), "4");  // not in the catalog, and not deleted
  EXPECT_FALSE(store().Fsck(true).repaired.empty());
  EXPECT_FALSE(store().Status().read_only);
  EXPECT_EQ(Look(store()), newest);
  EXPECT_EQ(Workspace("w").id, before);
  ExpectSound();
  Checkpoint("w", "after");
  Reopen();
  EXPECT_FALSE(store().Status().read_only);
  ExpectSound();
}

TEST_F(StoreOpenTest, AnOlderCatalogWhoseLiveTreeHasMovedNeedsAnotherMount) {
  Fill();
  Close();
  fs::copy_file(StorePath() + "/catalog.db", directory_->Path("backup"));
  Reopen();
  Rollback("w", Snapshot("w", "a"));
  const StoreView newest = Look(store());
  Close();
  fs::rename(directory_->Path("backup"), StorePath() + "/catalog.db");
  Reopen();
  EXPECT_THAT(store().Fsck(true).repaired, Contains(HasSubstr("mount again")));
  EXPECT_TRUE(store().Status().read_only);
  Reopen();
  EXPECT_FALSE(store().Status().read_only);
  EXPECT_EQ(Look(store()), newest);
  ExpectSound();
}

// Power goes while a workspace is made, and others had transactions since its sidecar was written.
TEST_F(StoreOpenTest, DebrisIsKnownAlsoBesideOtherOperations) {
  Fill();
  const VolumeId debris = VolumeId::Generate();
  const MetaDirectory meta(store().backend().meta_fd());
  Sidecar sidecar;
  sidecar.volume = debris;
  sidecar.role = SidecarRole::kWorkspace;
  sidecar.state = SidecarState::kPrepared;
  sidecar.generation = meta.Generation() + 1;
  sidecar.workspace.name = "new";
  sidecar.workspace.volume = debris;
  sidecar.workspace.view = 77;
  meta.Create(sidecar);
  store().backend().CreateEmpty(debris);
  store().SetMessage(Snapshot("w", "a").id, "other work");
  store().SetMessage(Snapshot("w", "a").id, "and more");
  Reopen();
  EXPECT_THAT(store().Status().warnings, IsEmpty());
  EXPECT_FALSE(store().rows().FindWorkspace("new"));
  for (const VolumeListing& listing : store().backend().List()) EXPECT_NE(listing.id, debris);
  ExpectSound();
}

// --- Volumes that nobody knows ------------------------------------------------------------------

TEST_F(StoreOpenTest, AStrangeVolumeIsReportedAndNeverDeleted) {
  Fill();
  const VolumeId strange = VolumeId::Generate();
  store().backend().CreateEmpty(strange);
  Reopen();
  EXPECT_THAT(store().Status().warnings, ElementsAre(HasSubstr(strange.str())));
  EXPECT_THAT(store().Fsck(true).problems, ElementsAre(HasSubstr("left alone")));
  EXPECT_EQ(Read(strange), "-");
}

TEST_F(StoreOpenTest, AVolumeThatHasLostItsRowGetsItBack) {
  Fill();
  const SnapshotRecord a = Snapshot("w", "a");
  Close();
  Sql("UPDATE snapshot SET parent_id = NULL; UPDATE workspace SET parent_id = NULL;"
      "DELETE FROM snapshot WHERE name = 'a'");
  Reopen();
  EXPECT_THAT(store().Status().warnings, ElementsAre(HasSubstr(a.volume.str())));
  EXPECT_THAT(store().Fsck(true).repaired, Contains(HasSubstr("snapshot a of w")));
  EXPECT_EQ(Snapshot("w", "a").message, "m a");
  EXPECT_TRUE(Snapshot("w", "a").pinned);
  ExpectSound();
}

// Writes what a power cut can leave of a checkpoint whose transaction was lost. It was made `seconds` after the
// workspace.
VolumeId LeaveCheckpoint(Store& store, const std::string& name, uint64_t seconds,
                         const VolumeId& live) {
  const WorkspaceRecord workspace = *store.rows().FindWorkspace("w");
  VolumeId volume = VolumeId::Generate();
  const MetaDirectory meta(store.backend().meta_fd());
  Sidecar sidecar;
  sidecar.volume = volume;
  sidecar.role = SidecarRole::kSnapshot;
  sidecar.state = SidecarState::kPrepared;
  sidecar.generation = meta.Generation() + 1;
  sidecar.workspace = workspace;
  sidecar.workspace.volume = live;
  sidecar.snapshot.uuid = volume;
  sidecar.snapshot.name = name;
  sidecar.snapshot.created_ns =
      workspace.created_ns + static_cast<int64_t>(seconds) * 1'000'000'000;
  sidecar.snapshot.view = 1000 + seconds;
  sidecar.snapshot.root.mode = S_IFDIR | 0755;
  meta.Write(sidecar);
  store.backend().Snapshot(workspace.volume, volume);
  return volume;
}

TEST_F(StoreOpenTest, CheckpointsWithoutRowsAreTakenInInOrder) {
  Fill();
  const VolumeId live = Workspace("w").volume;
  LeaveCheckpoint(store(), "third", 30, live);
  LeaveCheckpoint(store(), "first", 10, live);
  LeaveCheckpoint(store(), "second", 20, live);
  Reopen();
  EXPECT_EQ(Workspace("w").parent_id, Snapshot("w", "third").id);
  EXPECT_LT(Snapshot("w", "first").id, Snapshot("w", "second").id);
  EXPECT_LT(Snapshot("w", "second").id, Snapshot("w", "third").id);
  EXPECT_THAT(store().Status().warnings, IsEmpty());
}

TEST_F(StoreOpenTest, CheckpointsWithoutRowsThatFitNowhereAreLeftAlone) {
  Fill();
  const VolumeId live = Workspace("w").volume;
  const auto expect_left = [&](const std::set<VolumeId>& volumes) {
    Reopen();
    std::set<VolumeId> there;
    for (const VolumeListing& listing : store().backend().List()) there.insert(listing.id);
    for (const VolumeId& volume : volumes) {
      EXPECT_TRUE(there.contains(volume));
      EXPECT_THAT(store().Status().warnings,
                  Contains(AllOf(HasSubstr(volume.str()), HasSubstr("left alone"))));
      store().backend().Destroy(volume);
    }
  };
  expect_left({LeaveCheckpoint(store(), "a", 10, live)});  // a name that is taken
  expect_left({LeaveCheckpoint(store(), "other", 10, VolumeId::Generate())});
  // Those after it have their rows, so its own was taken back.
  expect_left({LeaveCheckpoint(store(), "old", 0, live)});
  ExpectFilled();
}

TEST_F(StoreOpenTest, FsckMendsViewNumbersThatAreNotUnique) {
  Fill();
  Close();
  Sql("UPDATE snapshot SET view = (SELECT view FROM workspace WHERE name = 'w') WHERE name = 'a'");
  Reopen();
  EXPECT_FALSE(store().Fsck(true).repaired.empty());
  EXPECT_NE(Snapshot("w", "a").view, Workspace("w").view);
  ExpectSound();
}

}  // namespace
}  // namespace ckptfs
