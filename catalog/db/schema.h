// The tables of catalog.db, and how an older catalog becomes one of today.
#pragma once

#include "catalog/db/sqlite.h"

namespace ckptfs {

// "ckpt": what file(1) and SQLite's application_id tell a catalog by.
inline constexpr int64_t kCatalogApplicationId = 0x636b7074;

// The schema that this program writes: the number of migrations.
int64_t CurrentSchemaVersion();

// Sets what holds for a connection and not for the file: foreign keys, durability.
void ConfigureConnection(Database& database);

// Makes the tables in an empty database file. Part of the caller's transaction.
void CreateSchema(Database& database);

// Brings a catalog to the current schema, each step a transaction of its own. Throws Error: EUCLEAN
// if this is no catalog or has any other tables than one of its version has, ENOTSUP if a newer program has written it; the file is unchanged then.
void MigrateSchema(Database& database);

}  // namespace ckptfs
