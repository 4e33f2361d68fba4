#include "catalog/db/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "backend/base/error.h"
#include "catalog/db/catalog_transaction.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// What the program of version 1 had left behind on a real store, as sqlite3's .dump tells it: a
// workspace with two checkpoints, the second pinned, and rolled back to the first.
constexpr char kVersion1Catalog[] = R"sql(
PRAGMA application_id = 0x636b7074;
PRAGMA user_version = 1;
CREATE TABLE store (
  id                  INTEGER PRIMARY KEY CHECK (id = 1),
  uuid                TEXT    NOT NULL,
  created_ns          INTEGER NOT NULL,
  backend_type        TEXT    NOT NULL,
  backend_selection   TEXT    NOT NULL,
  backend_selected_ns INTEGER NOT NULL,
  generation          INTEGER NOT NULL DEFAULT 0,
  next_view           INTEGER NOT NULL DEFAULT 1,
  root_mode           INTEGER NOT NULL,
  root_uid            INTEGER NOT NULL DEFAULT 0,
  root_gid            INTEGER NOT NULL DEFAULT 0,
  root_acl            BLOB    NOT NULL DEFAULT x''
) STRICT;
INSERT INTO store VALUES(1,'22cd8b57-2b48-48b5-8eab-31ed559b85a2',1795223821692653506,'btrfs-loop','auto: /store is on ext4',1795223821692653506,6,6,16877,0,0,X'');
CREATE TABLE workspace (
  id                   INTEGER PRIMARY KEY AUTOINCREMENT,
  name                 TEXT    NOT NULL UNIQUE,
  volume               TEXT    NOT NULL UNIQUE,
  created_ns           INTEGER NOT NULL,
  view                 INTEGER NOT NULL UNIQUE,
  parent_id            INTEGER REFERENCES snapshot (id),
  parent_marker        INTEGER NOT NULL DEFAULT 0,
  snapshots_changed_ns INTEGER NOT NULL
) STRICT;
INSERT INTO workspace VALUES(1,'W','609f734b-b935-4690-9880-0e0a2ee824e5',1795223821824981399,1,1,12,1795223822388817079);
INSERT INTO workspace VALUES(2,'V','8c80b4ea-363a-478e-99ef-635998108f26',1795223821928765272,2,NULL,0,1795223821928765272);
CREATE TABLE snapshot (
  id               INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid             TEXT    NOT NULL UNIQUE,
  workspace_id     INTEGER NOT NULL REFERENCES workspace (id),
  name             TEXT    NOT NULL,
  volume           TEXT    NOT NULL UNIQUE,
  created_ns       INTEGER NOT NULL,
  message          TEXT    NOT NULL DEFAULT '',
  metadata         TEXT    NOT NULL DEFAULT '{}',
  pinned           INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1)),
  parent_id        INTEGER REFERENCES snapshot (id),
  kind             TEXT    NOT NULL CHECK (kind IN ('manual', 'pre-rollback')),
  missing          INTEGER NOT NULL DEFAULT 0 CHECK (missing IN (0, 1)),
  view             INTEGER NOT NULL UNIQUE,
  root_mode        INTEGER NOT NULL,
  root_uid         INTEGER NOT NULL,
  root_gid         INTEGER NOT NULL,
  root_acl         BLOB    NOT NULL DEFAULT x'',
  root_xattr_names BLOB    NOT NULL DEFAULT x'',
  unlinked_open    INTEGER NOT NULL DEFAULT 0,
  -- What Store::SnapshotUsage found last, and when.
  referenced_bytes INTEGER,
  exclusive_bytes  INTEGER,
  usage_ns         INTEGER,
  UNIQUE (workspace_id, name)
) STRICT;
INSERT INTO snapshot VALUES(1,'ba5b1fa5-723a-40d4-a666-56708bea7d52',1,'one','ba5b1fa5-723a-40d4-a666-56708bea7d52',1795223822057307661,'','{}',0,NULL,'manual',0,3,16877,0,0,X'',X'',0,NULL,NULL,NULL);
INSERT INTO snapshot VALUES(2,'460c8900-5e9b-4f98-bf8c-67f96fb268db',1,'two','460c8900-5e9b-4f98-bf8c-67f96fb268db',1795223822116848081,'','{}',1,1,'manual',0,4,16877,0,0,X'',X'',0,NULL,NULL,NULL);
INSERT INTO snapshot VALUES(3,'f00bf372-27ff-433d-9152-cd7efbd85d80',1,'pre-rollback-20261121T011702Z','f00bf372-27ff-433d-9152-cd7efbd85d80',1795223822388817079,'','{}',0,2,'pre-rollback',0,5,16877,0,0,X'',X'',0,NULL,NULL,NULL);
CREATE TABLE tombstone (
  volume   TEXT    PRIMARY KEY,
  since_ns INTEGER NOT NULL
) STRICT;
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('workspace',2);
INSERT INTO sqlite_sequence VALUES('snapshot',3);
CREATE INDEX snapshot_by_age       ON snapshot (workspace_id, id);
CREATE INDEX snapshot_by_parent    ON snapshot (parent_id);
CREATE INDEX workspace_by_parent   ON workspace (parent_id);
)sql";

// What later programs had made of that: as .dump tells it, if with the tables in another order.
constexpr const char* kSinceVersion1[] = {R"sql(
PRAGMA user_version = 2;
ALTER TABLE snapshot ADD COLUMN open_writers INTEGER;
CREATE TABLE open_writer (
  snapshot_id INTEGER NOT NULL REFERENCES snapshot (id) ON DELETE CASCADE,
  position    INTEGER NOT NULL,
  path        BLOB    NOT NULL,
  pid         INTEGER NOT NULL,
  command     BLOB    NOT NULL,
  PRIMARY KEY (snapshot_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX snapshot_undo ON snapshot (workspace_id, id)
  WHERE kind = 'pre-rollback' AND pinned = 0 AND missing = 0;
)sql",
                                          R"sql(
PRAGMA user_version = 3;
CREATE TABLE template (
  uuid       TEXT    PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,
  created_ns INTEGER NOT NULL,
  filesystem TEXT    NOT NULL,
  size_bytes INTEGER NOT NULL,
  inode      INTEGER NOT NULL,
  sha256     TEXT    NOT NULL
) STRICT;
)sql",
                                          R"sql(
PRAGMA user_version = 4;
CREATE INDEX snapshot_checkpoint ON snapshot (workspace_id, id) WHERE kind = 'manual';
)sql",
                                          R"sql(
PRAGMA user_version = 5;
CREATE TABLE view_range (
  first INTEGER PRIMARY KEY,
  given INTEGER NOT NULL  -- the number given last; before there was one: that below the first
) STRICT;
INSERT INTO view_range VALUES(1,5);
INSERT INTO view_range VALUES(4096,4095);
INSERT INTO view_range VALUES(8192,8191);
ALTER TABLE store DROP COLUMN next_view;
ALTER TABLE tombstone ADD COLUMN view INTEGER;
CREATE INDEX tombstone_by_view ON tombstone (view) WHERE view IS NOT NULL;
)sql",
                                          R"sql(
PRAGMA user_version = 6;
ALTER TABLE snapshot ADD COLUMN moment TEXT NOT NULL DEFAULT 'unknown'
  CHECK (moment IN ('unknown', 'one', 'crash-consistent'));
ALTER TABLE snapshot ADD COLUMN moment_reason TEXT NOT NULL DEFAULT '';
)sql",
                                          R"sql(
PRAGMA user_version = 7;
CREATE TABLE store_setting (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE workspace_setting (
  workspace_id INTEGER NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
  key          TEXT    NOT NULL,
  value        TEXT    NOT NULL,
  PRIMARY KEY (workspace_id, key)
) STRICT, WITHOUT ROWID;
ALTER TABLE snapshot DROP COLUMN referenced_bytes;
ALTER TABLE snapshot DROP COLUMN exclusive_bytes;
ALTER TABLE snapshot DROP COLUMN usage_ns;
)sql"};
constexpr int kLastWithOneCounter = 4;  // the version
constexpr int kLastWithSizes = 6;
constexpr int kLast = 7;

std::vector<std::string> SchemaOf(Database& database) {
  std::vector<std::string> tables;
  Statement rows = database.Query(
      "SELECT m.name, c.name, c.type FROM sqlite_schema AS m, pragma_table_xinfo(m.name) AS c "
      "WHERE m.type = 'table' UNION ALL SELECT name, sql, '' FROM sqlite_schema "
      "WHERE type = 'index' ORDER BY 1, 2");
  while (rows.Step()) {
    tables.push_back(rows.Text(0) + " " + rows.Text(1) + " " + rows.Text(2));
  }
  return tables;
}

class MigrationTest : public testing::TestWithParam<int> {
 protected:
  MigrationTest() {
    WriteFileAt(directory_.fd(), "old.db", "");
    Sql(kVersion1Catalog);
    for (int version = 2; version <= GetParam(); ++version) Sql(kSinceVersion1[version - 2]);
  }
  static bool HasOneCounter() { return GetParam() <= kLastWithOneCounter; }
  void Sql(const std::string& text) { Database(directory_.fd(), "old.db").Execute(text); }
  std::unique_ptr<Catalog> Open() {
    return Catalog::Open(directory_.fd(), "old.db", CatalogCheck::kFull);
  }

  TestDirectory directory_;
};

TEST_P(MigrationTest, KeepsEveryRow) {
  const auto catalog = Open();
  EXPECT_THAT(catalog->Verify(), IsEmpty());
  EXPECT_EQ(catalog->Facts().backend_type, "btrfs-loop");
  EXPECT_EQ(catalog->Generation(), 6U);
  const WorkspaceRecord workspace = catalog->FindWorkspace("W").value();
  EXPECT_EQ(workspace.parent_id, 1);
  EXPECT_EQ(workspace.parent_marker, 12U);
  std::vector<std::string> names;
  for (const SnapshotRecord& snapshot : catalog->ListSnapshots(workspace.id, 0, 100)) {
    names.push_back(snapshot.name + " " + ToString(snapshot.kind) +
                    (snapshot.pinned ? " pin" : ""));
  }
  EXPECT_THAT(names, ElementsAre("one manual", "two manual pin",
                                 "pre-rollback-20261121T011702Z pre-rollback"));
}

TEST_P(MigrationTest, WhatIsNewIsThereAndUnknownOfWhatIsOld) {
  const auto catalog = Open();
  EXPECT_FALSE(catalog->OpenWriters(1).has_value());
  EXPECT_THAT(catalog->SurplusUndo(1, 0, 10), testing::SizeIs(1));
  {
    Catalog::Transaction transaction(*catalog);
    transaction.SetOpenWriters(1,
                               {.named = {{.pid = 7, .command = "cat", .path = "f"}}, .total = 1});
    transaction.Commit();
  }
  EXPECT_EQ(catalog->OpenWriters(1).value().named.at(0).path, "f");
  for (const SnapshotRecord& snapshot : catalog->ListAllSnapshots()) {
    EXPECT_EQ(snapshot.moment, SnapshotMoment::kUnknown) << snapshot.name;
    EXPECT_EQ(snapshot.moment_reason, "");
  }
  SnapshotRecord one = catalog->FindSnapshot(1).value();
  one.moment = SnapshotMoment::kCrashConsistent;
  one.moment_reason = "why";
  {
    Catalog::Transaction transaction(*catalog);
    transaction.Update(one);
    transaction.Commit();
  }
  EXPECT_EQ(catalog->FindSnapshot(1)->moment, SnapshotMoment::kCrashConsistent);
  EXPECT_EQ(catalog->FindSnapshot(1)->moment_reason, "why");
}

TEST_P(MigrationTest, SettingsCanBeMadeAndTheSizesAreGone) {
  if (GetParam() <= kLastWithSizes) {
    Sql("UPDATE snapshot SET referenced_bytes = 1, exclusive_bytes = 2, usage_ns = 3 "
        "WHERE id = 1");
  }
  const auto catalog = Open();
  EXPECT_THAT(catalog->SettingsOf(std::nullopt), IsEmpty());
  EXPECT_THAT(catalog->SettingsOf(1), IsEmpty());
  {
    Catalog::Transaction transaction(*catalog);
    transaction.SetSetting(std::nullopt, "keep.last", "3");
    transaction.SetSetting(1, "keep.daily", "7");
    transaction.Commit();
  }
  EXPECT_THAT(catalog->SettingsOf(std::nullopt), ElementsAre(testing::Pair("keep.last", "3")));
  EXPECT_THAT(catalog->SettingsOf(1), ElementsAre(testing::Pair("keep.daily", "7")));
  Database database(directory_.fd(), "old.db");
  const auto of_sizes = testing::HasSubstr("snapshot referenced_bytes");
  EXPECT_THAT(SchemaOf(database), testing::Not(testing::Contains(of_sizes)));
}

TEST_P(MigrationTest, NothingWasScheduledOrCleanedUpByItself) {
  const auto catalog = Open();
  EXPECT_EQ(catalog->CleanedNs(1), 0);
  for (const SnapshotRecord& snapshot : catalog->ListAllSnapshots()) {
    EXPECT_NE(snapshot.kind, SnapshotKind::kScheduled) << snapshot.name;
  }
  SnapshotRecord one = catalog->FindSnapshot(1).value();
  one.kind = SnapshotKind::kScheduled;
  {
    Catalog::Transaction transaction(*catalog);
    transaction.Update(one);
    transaction.SetCleaned(1, 5);
    transaction.Commit();
  }
  EXPECT_EQ(catalog->FindSnapshot(1)->kind, SnapshotKind::kScheduled);
  EXPECT_EQ(catalog->CountCheckpoints(1), 2U) << "it is still a checkpoint";
  EXPECT_EQ(catalog->CleanedNs(1), 5);
}

// The two ways to the tables of today come to the same.
TEST_P(MigrationTest, GivesTheTablesThatANewCatalogHas) {
  Open();
  Catalog::Create(directory_.fd(), "new.db", {.uuid = Uuid::Generate(), .backend_type = "x"});
  Database migrated(directory_.fd(), "old.db");
  Database fresh(directory_.fd(), "new.db");
  EXPECT_EQ(migrated.PragmaInt("PRAGMA user_version"), CurrentSchemaVersion());
  EXPECT_EQ(SchemaOf(migrated), SchemaOf(fresh));
}

TEST_P(MigrationTest, IsDoneOnceHoweverOftenItIsOpened) {
  Open();
  const auto catalog = Open();
  EXPECT_THAT(catalog->ListAllSnapshots(), testing::SizeIs(3));
}

TEST_P(MigrationTest, ViewNumbersGoOnWhereTheCounterWas) {
  const auto catalog = Open();
  EXPECT_EQ(catalog->FindWorkspace("V")->view, 2U);
  EXPECT_EQ(catalog->FindSnapshot(3)->view, 5U);
  EXPECT_EQ(catalog->NextView(ViewUse::kWorkspace), 6U);
  EXPECT_EQ(catalog->NextView(ViewUse::kSnapshot), 4096U);
}

TEST_P(MigrationTest, LargeViewNumbersStayAndNewOnesAreSmall) {
  if (!HasOneCounter()) return;
  Sql("UPDATE store SET next_view = 1000001; UPDATE workspace SET view = 9000 WHERE name = 'V';"
      "UPDATE snapshot SET view = 1000000 WHERE name = 'two'");
  const auto catalog = Open();
  EXPECT_EQ(catalog->FindWorkspace("V")->view, 9000U);
  EXPECT_EQ(catalog->FindSnapshot(2)->view, 1'000'000U);
  EXPECT_EQ(catalog->NextView(ViewUse::kWorkspace), 2U) << "1 is W's";
  EXPECT_EQ(catalog->NextView(ViewUse::kSnapshot), 4096U);
  const auto none_small = [](uint64_t view) { return view <= kSnapshotViews.last; };
  EXPECT_EQ(catalog->NextView(ViewUse::kSnapshot, none_small), 1'000'001U);
}

TEST_P(MigrationTest, ACounterThatHadComeToItsEndGoesRound) {
  if (!HasOneCounter()) return;
  Sql("UPDATE store SET next_view = 16777216");
  const auto catalog = Open();
  const auto none_small = [](uint64_t view) { return view <= kSnapshotViews.last; };
  EXPECT_EQ(catalog->NextView(ViewUse::kSnapshot, none_small), 8192U);
}

TEST_P(MigrationTest, TombstonesOfOldHaveNoNumber) {
  Sql("INSERT INTO tombstone (volume, since_ns) VALUES ('00000000-0000-4000-8000-000000000001', "
      "1)");
  const auto catalog = Open();
  EXPECT_THAT(catalog->Tombstones(), testing::SizeIs(1));
  EXPECT_FALSE(catalog->IsViewUsed(0));
}

TEST_P(MigrationTest, LeavesACatalogOfANewerProgramAlone) {
  {
    Database database(directory_.fd(), "old.db");
    database.Execute("PRAGMA user_version = 99");
  }
  try {
    Open();
    FAIL() << "it was opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), ENOTSUP);
  }
  Database database(directory_.fd(), "old.db");
  EXPECT_EQ(database.PragmaInt("PRAGMA user_version"), 99);
}

INSTANTIATE_TEST_SUITE_P(From, MigrationTest, testing::Range(1, kLast + 1),
                         [](const auto& version) { return std::to_string(version.param); });

}  // namespace
}  // namespace ckptfs
