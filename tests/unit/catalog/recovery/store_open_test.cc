// Starting on stores that are new, foreign or busy.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "backend/base/error.h"
#include "catalog/db/catalog.h"
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

TEST_F(StoreOpenTest, WhatNobodyIsServedFromIsTakenAway) {
  { const auto store = Store::Open(Options()); }  // no Keep
  EXPECT_FALSE(fs::exists(StorePath()));
  fs::create_directories(StorePath() + "/lost+found");
  { const auto store = Store::Open(Options()); }
  EXPECT_THAT(Files(), ElementsAre("lost+found"));
  Reopen();
  Close();
  { const auto store = Store::Open(Options()); }  // it was kept once
  EXPECT_THAT(Files(), Contains("catalog.db"));
}

TEST_F(StoreOpenTest, ANoteThatIsWrongTakesNothingAway) {
  Fill();
  Close();
  std::ofstream(StorePath() + "/unfinished") << "made\n";
  Reopen();
  ExpectFilled();
  Close();
  EXPECT_THAT(Files(), Not(Contains("unfinished")));
}

TEST_F(StoreOpenTest, TakesAnEmptyFilesystem) {
  fs::create_directories(StorePath() + "/lost+found");
  StoreOptions options = Options();
  options.create = false;
  EXPECT_EQ(OpenErrno(options), ENOENT);
  Reopen();
  EXPECT_THAT(store().rows().ListWorkspaces(), IsEmpty());
}

TEST_F(StoreOpenTest, NobodyButRootReadsTheCatalog) {
  Reopen();
  for (const char* name : {"catalog.db", "catalog.db-wal", "lock"}) {
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

}  // namespace
}  // namespace ckptfs
