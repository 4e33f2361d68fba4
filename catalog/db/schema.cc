#include "catalog/db/schema.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

namespace ckptfs {
namespace {

// Version 1. Ids are never reused (AUTOINCREMENT), so a late answer about a deleted row cannot be taken for
// one about a new row. Volumes, names and view numbers are unique in each table. Uniqueness across both
// tables is ensured by the code that assigns them, and verified by fsck.
constexpr char kVersion1[] = R"sql(
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

CREATE INDEX snapshot_by_age       ON snapshot (workspace_id, id);
CREATE INDEX snapshot_by_parent    ON snapshot (parent_id);
CREATE INDEX workspace_by_parent   ON workspace (parent_id);

-- Volumes that are deleted: nobody sees them any more, and their destruction is repeated until it
-- is known to be durable.
CREATE TABLE tombstone (
  volume   TEXT    PRIMARY KEY,
  since_ns INTEGER NOT NULL
) STRICT;
)sql";

// Version 2. Files open for writing at a checkpoint, and an index of the states that rollbacks kept, of which
// the old ones are deleted.
constexpr char kVersion2[] = R"sql(
-- How many there were, of which open_writer names the first; NULL: nobody has looked.
ALTER TABLE snapshot ADD COLUMN open_writers INTEGER;

-- Paths and commands may hold any byte but NUL.
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
)sql";

// Version 3. Templates for volumes, on backends that have them.
constexpr char kVersion3[] = R"sql(
CREATE TABLE template (
  uuid       TEXT    PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,
  created_ns INTEGER NOT NULL,
  filesystem TEXT    NOT NULL,
  size_bytes INTEGER NOT NULL,
  inode      INTEGER NOT NULL,
  sha256     TEXT    NOT NULL
) STRICT;
)sql";

// Version 4. An index to the newest checkpoint, which skips any number of states that rollbacks kept.
constexpr char kVersion4[] = R"sql(
CREATE INDEX snapshot_checkpoint ON snapshot (workspace_id, id) WHERE kind = 'manual';
)sql";

// Version 5. View numbers are reused, in ranges (catalog/db/view_numbers.h), each with its own counter. A
// number with a tombstone is still taken.
constexpr char kVersion5[] = R"sql(
CREATE TABLE view_range (
  first INTEGER PRIMARY KEY,
  given INTEGER NOT NULL  -- the number given last; before there was one: that below the first
) STRICT;
WITH
  counter (given) AS (SELECT coalesce((SELECT next_view FROM store), 1) - 1),
  range (first, last) AS (VALUES (1, 4095), (4096, 8191), (8192, 16777215))
INSERT INTO view_range SELECT first, max(first - 1, min(last, given)) FROM range, counter;
ALTER TABLE store DROP COLUMN next_view;

ALTER TABLE tombstone ADD COLUMN view INTEGER;
CREATE INDEX tombstone_by_view ON tombstone (view) WHERE view IS NOT NULL;
)sql";

// Version 6. Whether a snapshot is one moment, and if not, why, in words. Unknown for older snapshots, whose
// programs only logged it.
constexpr char kVersion6[] = R"sql(
ALTER TABLE snapshot ADD COLUMN moment TEXT NOT NULL DEFAULT 'unknown'
  CHECK (moment IN ('unknown', 'one', 'crash-consistent'));
ALTER TABLE snapshot ADD COLUMN moment_reason TEXT NOT NULL DEFAULT '';
)sql";

// Version 7. Settings. Drops the sizes of snapshots, unused since version 1.
constexpr char kVersion7[] = R"sql(
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
)sql";

// Version 8. Holds, and what the daemon does by itself. A scheduled checkpoint is of kind 'manual' like every checkpoint, so that
// the indexes by kind find it.
constexpr char kVersion8[] = R"sql(
-- Tags, each ended by a newline, sorted.
ALTER TABLE snapshot ADD COLUMN holds TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshot ADD COLUMN scheduled INTEGER NOT NULL DEFAULT 0 CHECK (scheduled IN (0, 1));
-- The end of the last automatic cleanup; 0: none yet.
ALTER TABLE workspace ADD COLUMN cleaned_ns INTEGER NOT NULL DEFAULT 0;
)sql";

// A change of the tables is a new entry; existing entries are never edited.
constexpr std::array kMigrations = {kVersion1, kVersion2, kVersion3, kVersion4,
                                    kVersion5, kVersion6, kVersion7, kVersion8};

// The SQL of all tables, indexes and the like in the database.
std::vector<std::string> EntriesOf(Database& database) {
  std::vector<std::string> entries;
  Statement rows =
      database.Query("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name");
  while (rows.Step()) {
    entries.push_back(
        fmt::format("{} {} {} {}", rows.Text(0), rows.Text(1), rows.Text(2), rows.Text(3)));
  }
  return entries;
}

void Apply(Database& database, size_t migration) {
  database.Execute(kMigrations[migration]);
  // Part of the same transaction, like every change of the file's header.
  database.Execute(fmt::format("PRAGMA user_version = {}", migration + 1));
}

}  // namespace

int64_t CurrentSchemaVersion() { return static_cast<int64_t>(kMigrations.size()); }

void ConfigureConnection(Database& database) {
  // NORMAL would lose committed transactions in a power failure: see Durability.
  database.Execute(
      "PRAGMA journal_mode = WAL;"
      "PRAGMA synchronous = FULL;"
      "PRAGMA foreign_keys = ON;");
}

namespace {

// A forged catalog may have schema entries that execute code when they are read or written (computed columns
// and constraints, partial indexes, triggers, virtual tables), or that only look like ours. So the entries
// must match, verbatim, what the migrations up to that version create.
void RequireOwnSchema(Database& database, size_t version) {
  Database reference(Database::InMemory{});
  for (size_t migration = 0; migration < version; ++migration) Apply(reference, migration);
  if (EntriesOf(database) == EntriesOf(reference)) return;
  throw Error(EUCLEAN, "open catalog.db", "its tables are not those of a catalog");
}

}  // namespace

void CreateSchema(Database& database) {
  database.Execute(fmt::format("PRAGMA application_id = {}", kCatalogApplicationId));
  for (size_t migration = 0; migration < kMigrations.size(); ++migration) {
    Apply(database, migration);
  }
}

void MigrateSchema(Database& database) {
  if (database.PragmaInt("PRAGMA application_id") != kCatalogApplicationId) {
    throw Error(EUCLEAN, "open catalog.db", "it is a database of something else");
  }
  const int64_t version = database.PragmaInt("PRAGMA user_version");
  if (version < 1) throw Error(EUCLEAN, "open catalog.db", "it has no tables");
  if (version > CurrentSchemaVersion()) {
    throw Error(
        ENOTSUP, "open catalog.db",
        fmt::format("its schema has version {}, and this program supports versions up to {}",
                    version, CurrentSchemaVersion()),
        "Mount the store with the newer ckptfs that has written it");
  }
  RequireOwnSchema(database, static_cast<size_t>(version));
  for (auto next = static_cast<size_t>(version); next < kMigrations.size(); ++next) {
    DatabaseTransaction transaction(database);
    Apply(database, next);
    transaction.Commit();
  }
}

}  // namespace ckptfs
