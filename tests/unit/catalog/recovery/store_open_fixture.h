// A store that is filled, modified by hand and reopened.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "catalog/db/catalog.h"
#include "catalog/db/sqlite.h"
#include "tests/unit/catalog/store/store_fixture.h"
#include "tests/unit/catalog/store/whole_operations.h"

namespace ckptfs {

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
    for (const auto& entry : std::filesystem::directory_iterator(StorePath())) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  // Modifies the catalog by hand.
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
    store().SetMetadata(a.id, Metadata::Checked(R"({"key":"value"})"));
    store().Fork(a.id, "fork");
    Write("fork", "3");
    CheckpointWhole(store(), Workspace("fork").id, {.name = "c", .message = "m c"},
                    {.unlinked_open = 0, .why_not_one_moment = "somebody wrote on"});
    Write("w", "4");
    store().SetMountRoot({.mode = S_IFDIR | 0711, .uid = 1, .gid = 2, .acl = {}});
    store().SetSetting(std::nullopt, "keep.last", "10");
    store().SetSetting(Workspace("w").id, "keep.last", "3");
    store().SetSetting(Workspace("w").id, "keep.within", "30d");
    store().SetSetting(Workspace("fork").id, "limit.snapshots", "100");
    store().Fsck(false);  // waits for the sidecars
  }
  void ExpectFilled() {
    ExpectSnapshots();
    ExpectSettings();
  }

 private:
  void ExpectSnapshots() {
    const SnapshotRecord a = Snapshot("w", "a");
    EXPECT_TRUE(a.pinned);
    EXPECT_EQ(a.metadata, R"({"key":"value"})");
    EXPECT_EQ(a.message, "m a");
    EXPECT_EQ(Snapshot("w", "b").parent_id, a.id);
    EXPECT_EQ(Snapshot("w", "b").moment, SnapshotMoment::kOne);
    EXPECT_EQ(Snapshot("fork", "c").moment, SnapshotMoment::kCrashConsistent);
    EXPECT_EQ(Snapshot("fork", "c").moment_reason, "somebody wrote on");
    EXPECT_EQ(Snapshot("fork", "c").parent_id, a.id);
    EXPECT_EQ(Workspace("w").parent_id, Snapshot("w", "b").id);
    EXPECT_EQ(Workspace("fork").parent_id, Snapshot("fork", "c").id);
  }
  void ExpectSettings() {
    EXPECT_EQ(store().rows().MountRoot().mode, S_IFDIR | 0711U);
    EXPECT_EQ(store().rows().SettingsOf(std::nullopt), (SettingMap{{"keep.last", "10"}}));
    EXPECT_EQ(store().rows().SettingsOf(Workspace("w").id),
              (SettingMap{{"keep.last", "3"}, {"keep.within", "30d"}}));
    EXPECT_EQ(store().rows().SettingsOf(Workspace("fork").id),
              (SettingMap{{"limit.snapshots", "100"}}));
  }
};

}  // namespace ckptfs
