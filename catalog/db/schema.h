// The tables of catalog.db, and the migration of older catalogs.
#pragma once

#include "catalog/db/sqlite.h"

namespace ckptfs {

// "ckpt": by this, file(1) and SQLite's application_id recognise a catalog.
inline constexpr int64_t kCatalogApplicationId = 0x636b7074;

// The schema version that this program writes: the number of migrations.
int64_t CurrentSchemaVersion();

// Sets the options that belong to a connection and not to the file: foreign keys, durability.
void ConfigureConnection(Database& database);

// Creates the tables in an empty database file, within the caller's transaction.
void CreateSchema(Database& database);

// Migrates a catalog to the current schema, one transaction per step. Throws Error: EUCLEAN if this is not a
// catalog or has other tables than those of its version, ENOTSUP if a newer program has written it; the file
// is then unchanged.
void MigrateSchema(Database& database);

}  // namespace ckptfs
