// Starting on stores that are new, damaged, foreign, busy or old.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "backend/base/error.h"
#include "catalog/catalog.h"
#include "catalog/lock.h"
#include "catalog/sidecar.h"
#include "catalog/sqlite.h"
#include "tests/unit/catalog/store_fixture.h"

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

class StoreOpenTest : public StoreTest {
 protected:
  std::string OpenError(const StoreOptions& options) {
    return MessageOf([&] { Store::Open(options); });
  }
  std::string OpenError() { return OpenError(Options()); }
  int OpenErrno(const StoreOptions& options) {
    return ErrnoOf([&] { Store::Open(options); });
  }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(StorePath())) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  // Changes the catalog by hand.
  void Sql(const std::string& statement) {
    const UniqueFd directory = StoreFd();
    Database database(directory.get(), Catalog::kFileName);
    database.Execute(statement);
  }
  // Two workspaces, three snapshots; fork derives from w/a.
  void Fill() {
    Reopen();
    MakeWorkspace("w", "1");
    const SnapshotRecord a = Checkpoint("w", "a");
    Write("w", "2");
    Checkpoint("w", "b");
    store().SetPinned(a.id, true);
    store().SetMetadata(a.id, R"({"key":"value"})");
    store().Fork(a.id, "fork");
    Write("fork", "3");
    Checkpoint("fork", "c");
    Write("w", "4");
    store().SetMountRoot({.mode = S_IFDIR | 0711, .uid = 1, .gid = 2, .acl = {}});
    store().Fsck(false);  // waits for the sidecars
  }
  void ExpectFilled() {
    const SnapshotRecord a = Snapshot("w", "a");
    EXPECT_TRUE(a.pinned);
    EXPECT_EQ(a.metadata, R"({"key":"value"})");
    EXPECT_EQ(a.message, "m a");
    EXPECT_EQ(Snapshot("w", "b").parent_id, a.id);
    EXPECT_EQ(Snapshot("fork", "c").parent_id, a.id);
    EXPECT_EQ(Workspace("w").parent_id, Snapshot("w", "b").id);
    EXPECT_EQ(Workspace("fork").parent_id, Snapshot("fork", "c").id);
    EXPECT_EQ(store().MountRoot().mode, S_IFDIR | 0711U);
  }
};

// --- New stores ---------------------------------------------------------------------------------

TEST_F(StoreOpenTest, RefusesWhatCannotBeAStore) {
  StoreOptions options = Options();
  options.path = directory_->Path("no/such");
  EXPECT_EQ(OpenErrno(options), ENOENT);
  EXPECT_THAT(OpenError(options), HasSubstr("the directory above it does not exist"));
  options = Options();
  options.create = false;
  EXPECT_EQ(OpenErrno(options), ENOENT);
  EXPECT_FALSE(fs::exists(StorePath()));
  options = Options();
  options.backend = "zfs";
  EXPECT_EQ(OpenErrno(options), EINVAL);
  EXPECT_FALSE(fs::exists(StorePath()));  // made, and taken away again
  std::ofstream(StorePath()) << "a file";
  EXPECT_EQ(OpenErrno(Options()), ENOTDIR);
}

TEST_F(StoreOpenTest, RefusesADirectoryOfSomethingElse) {
  fs::create_directories(StorePath() + "/Documents");
  const std::ofstream empty_lock(StorePath() + "/lock");
  EXPECT_EQ(OpenErrno(Options()), ENOTEMPTY);
  EXPECT_THAT(OpenError(), HasSubstr("holds other files"));
  EXPECT_THAT(Files(), ElementsAre("Documents", "lock"));
}

TEST_F(StoreOpenTest, TakesAnEmptyFilesystem) {
  fs::create_directories(StorePath() + "/lost+found");
  StoreOptions options = Options();
  options.create = false;
  EXPECT_EQ(OpenErrno(options), ENOENT);
  Reopen();
  EXPECT_THAT(store().ListWorkspaces(), IsEmpty());
}

TEST_F(StoreOpenTest, NobodyButRootReadsTheCatalog) {
  Reopen();
  for (const char* name : {"catalog.db", "catalog.db-wal", "catalog.db-shm", "lock"}) {
    struct stat status {};
    ASSERT_EQ(stat((StorePath() + "/" + name).c_str(), &status), 0) << name;
    EXPECT_EQ(status.st_mode & 0777, 0600U) << name;
  }
}

// --- Who has it ---------------------------------------------------------------------------------

TEST_F(StoreOpenTest, ACleanStopLeavesNoLockAndNoLog) {
  Reopen();
  EXPECT_THAT(Files(), Contains("lock"));
  Close();
  EXPECT_THAT(Files(), AllOf(Not(Contains("lock")), Not(Contains("catalog.db-wal"))));
}

TEST_F(StoreOpenTest, ASecondOpenerLearnsWhoTheFirstIs) {
  Reopen();
  EXPECT_EQ(OpenErrno(Options()), EBUSY);
  EXPECT_THAT(OpenError(), HasSubstr("process " + std::to_string(getpid())));
  EXPECT_THAT(Files(), Contains("lock"));
}

TEST_F(StoreOpenTest, ALockLeftBehindIsReported) {
  Reopen();
  Close();
  std::ofstream(StorePath() + "/lock") << "12345\n";
  Reopen();
  EXPECT_FALSE(store().Status().clean_start);
  EXPECT_THAT(store().Status().warnings, Contains(HasSubstr("did not end cleanly")));
  Reopen();
  EXPECT_TRUE(store().Status().clean_start);
}

TEST_F(StoreOpenTest, AFailedOpeningDoesNotCallTheStoreClean) {
  Reopen();
  Close();
  std::ofstream(StorePath() + "/lock") << "12345\n";
  StoreOptions options = Options();
  options.backend = "btrfs-base";
  EXPECT_EQ(OpenErrno(options), EINVAL);
  EXPECT_THAT(Files(), Contains("lock"));
  Reopen();
  EXPECT_FALSE(store().Status().clean_start);
}

// --- The backend is law -------------------------------------------------------------------------

TEST_F(StoreOpenTest, AnotherBackendIsRefused) {
  Reopen();
  Close();
  StoreOptions options = Options();
  options.backend = "btrfs-base";
  EXPECT_EQ(OpenErrno(options), EINVAL);
  EXPECT_THAT(OpenError(options), AllOf(HasSubstr(TestBackend()), HasSubstr("chosen on 20"),
                                        AnyOf(HasSubstr("auto:"), HasSubstr("asked for by"))));
  options.backend = TestBackend();
  Reopen(options);
}

TEST_F(StoreOpenTest, ABackendThatIsGoneIsNotReplaced) {
  Fill();
  Close();
  fs::rename(StorePath() + "/" + TestBackendMark(), directory_->Path("away"));
  EXPECT_THAT(OpenError(), AllOf(HasSubstr(TestBackend()), HasSubstr("concerned: fork, w")));
  EXPECT_THAT(Files(), AllOf(Not(Contains(TestBackendMark())), Not(Contains("lock"))));
  fs::rename(directory_->Path("away"), StorePath() + "/" + TestBackendMark());
  Reopen();
  ExpectFilled();
}

TEST_F(StoreOpenTest, ATypeChangedByHandIsRefused) {
  Fill();
  Close();
  Sql("UPDATE store SET backend_type = 'btrfs-base'");
  StoreOptions options = Options();
  options.backend = "auto";
  EXPECT_THAT(OpenError(options),
              AllOf(HasSubstr("kept by " + TestBackend()), HasSubstr("fork, w")));
  Sql("UPDATE store SET backend_type = 'floppy'");
  EXPECT_THAT(OpenError(options), HasSubstr("no such type"));
  Sql("UPDATE store SET backend_type = '" + TestBackend() + "'");
  Reopen();
  ExpectFilled();
}

TEST_F(StoreOpenTest, ANewerCatalogIsLeftAlone) {
  Fill();
  Close();
  Sql("PRAGMA user_version = 999");
  EXPECT_EQ(OpenErrno(Options()), ENOTSUP);
  EXPECT_THAT(OpenError(), HasSubstr("newer ckptfs"));
  Sql("PRAGMA user_version = 1");
  Reopen();
  ExpectFilled();
}

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
  const std::vector<WorkspaceRecord> workspaces = store().ListWorkspaces();
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
  WriteFileAt(store().backend().meta_fd(), "x.json.new", "half");
  EXPECT_THAT(store().Fsck(false).problems, AllOf(SizeIs(2), Contains(HasSubstr("is damaged")),
                                                  Contains(HasSubstr("x.json.new"))));
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

// Writes what a power cut can leave of a checkpoint whose transaction was lost.
VolumeId LeaveCheckpoint(Store& store, const std::string& name, uint64_t transactions_later,
                         const VolumeId& live) {
  const WorkspaceRecord workspace = *store.FindWorkspace("w");
  VolumeId volume = VolumeId::Generate();
  const MetaDirectory meta(store.backend().meta_fd());
  Sidecar sidecar;
  sidecar.volume = volume;
  sidecar.role = SidecarRole::kSnapshot;
  sidecar.state = SidecarState::kPrepared;
  sidecar.generation = meta.Generation() + transactions_later;
  sidecar.workspace = workspace;
  sidecar.workspace.volume = live;
  sidecar.snapshot.uuid = volume;
  sidecar.snapshot.name = name;
  sidecar.snapshot.created_ns = workspace.created_ns + 1'000'000'000;
  sidecar.snapshot.view = 1000 + transactions_later;
  sidecar.snapshot.root.mode = S_IFDIR | 0755;
  meta.Write(sidecar);
  store.backend().Snapshot(workspace.volume, volume);
  return volume;
}

TEST_F(StoreOpenTest, CheckpointsWithoutRowsAreTakenInInOrder) {
  Fill();
  const VolumeId live = Workspace("w").volume;
  LeaveCheckpoint(store(), "second", 2, live);
  LeaveCheckpoint(store(), "first", 1, live);
  LeaveCheckpoint(store(), "none", 4,
                  live);  // the third was never durable, so nobody knows of this
  Reopen();
  EXPECT_EQ(Workspace("w").parent_id, Snapshot("w", "second").id);
  EXPECT_LT(Snapshot("w", "first").id, Snapshot("w", "second").id);
  EXPECT_THAT(store().Status().warnings, ElementsAre(HasSubstr("has no entry in the catalog")));
  Reopen();
  EXPECT_THAT(store().Status().warnings, SizeIs(1));
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
  expect_left({LeaveCheckpoint(store(), "a", 1, live)});  // a name that is taken
  expect_left({LeaveCheckpoint(store(), "other", 1, VolumeId::Generate())});
  expect_left({LeaveCheckpoint(store(), "one", 1, live), LeaveCheckpoint(store(), "two", 1, live)});
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
