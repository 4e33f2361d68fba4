// SQLite's C interface with owners and exceptions.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/uuid.h"

namespace ckptfs {

class Database;

// An argument that is bytes rather than text.
struct Blob {
  std::string_view bytes;
};

// A prepared statement with its arguments bound, on loan from its Database, to which it goes back
// (reset) when this dies. Must not outlive the Database; same thread rules.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  // True if there is a (further) row, whose columns can then be read.
  bool Step();
  // Runs a statement that gives no rows.
  void Run();

  // 0 for NULL. Throws Error EUCLEAN if the column holds anything else that is no integer.
  int64_t Int(int column) const;
  bool IsNull(int column) const;
  std::string Text(int column) const;  // also of a blob, byte for byte
  // Throws Error EUCLEAN if the column holds no UUID.
  Uuid Id(int column) const;
  std::optional<int64_t> OptionalInt(int column) const;

 private:
  friend class Database;
  Statement(Database& database, std::string_view sql, sqlite3_stmt* statement)
      : database_(&database), sql_(sql), statement_(statement) {}

  void Bind(int index, int64_t value);
  void Bind(int index, std::string_view value);
  void Bind(int index, const Blob& value);
  void Bind(int index, const Uuid& value) { Bind(index, std::string_view(value.str())); }
  void Bind(int index, const std::optional<int64_t>& value);

  Database* database_;
  std::string_view sql_;  // the key of the cache
  sqlite3_stmt* statement_;
};

// One connection to one database file. Prepared statements are kept for the next use. Errors are
// thrown as Error with the nearest errno: ENOSPC (full), EUCLEAN (damaged, or no database at all),
// EEXIST (a UNIQUE rule), EBUSY, EROFS, EIO, ENOMEM.
//
// To be used by one thread at a time: its owner has a mutex for it.
class Database {
 public:
  // Opens `file_name` in the directory `directory_fd`, which must exist. The directory is reached
  // through the descriptor for as long as this lives, whatever is mounted or moved at its path;
  // `directory_fd` must stay open as long.
  //
  // The file may be one that somebody else has made up: what SQLite offers to those is off (triggers, views,
  // functions in a schema; see sqlite.org/security.html), its memory has a limit, and no file of the database
  // is opened that is none (EUCLEAN). Whether the tables are those that they should be is for the owner to ask
  // before anything is read of them.
  Database(int directory_fd, const std::string& file_name);
  // An empty one in memory.
  struct InMemory {};
  explicit Database(InMemory in_memory);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // A statement with its arguments bound. `sql` must be a string literal: the cache keeps a
  // reference to it.
  template <typename... Args>
  Statement Query(std::string_view sql, const Args&... args) {
    Statement statement = Take(sql);
    int index = 0;
    (BindOne(statement, ++index, args), ...);
    return statement;
  }
  template <typename... Args>
  void Run(std::string_view sql, const Args&... args) {
    Query(sql, args...).Run();
  }
  // Several statements without arguments, not cached.
  void Execute(const std::string& sql);

  int64_t LastInsertId() const noexcept { return sqlite3_last_insert_rowid(handle_); }
  int64_t ChangedRows() const noexcept { return sqlite3_changes64(handle_); }
  // What a PRAGMA that answers with one integer says.
  int64_t PragmaInt(std::string_view literal);
  // Moves everything from the write-ahead log into the database file.
  void CheckpointWal();
  // Whether the last call failed when it wrote to the log and could not sync that.
  bool SyncFailed() const noexcept {
    return sqlite3_extended_errcode(handle_) == SQLITE_IOERR_FSYNC;
  }

  [[noreturn]] void Throw(int result, std::string_view attempted) const;

 private:
  friend class Statement;

  template <typename T>
  static void BindOne(Statement& statement, int index, const T& value) {
    if constexpr (std::is_integral_v<T>) {
      statement.Bind(index, static_cast<int64_t>(value));
    } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      statement.Bind(index, std::string_view(value));
    } else {
      statement.Bind(index, value);
    }
  }
  void Open(const std::string& path, int flags);
  void Harden();
  Statement Take(std::string_view sql);
  void Close() noexcept;

  std::string name_;
  sqlite3* handle_ = nullptr;
  std::map<std::string_view, std::vector<sqlite3_stmt*>> idle_;
};

// A write transaction: begun at once, so that it cannot fail half-way for a lock; rolled back if it
// dies without Commit.
class DatabaseTransaction {
 public:
  explicit DatabaseTransaction(Database& database);
  ~DatabaseTransaction();
  DatabaseTransaction(const DatabaseTransaction&) = delete;
  DatabaseTransaction& operator=(const DatabaseTransaction&) = delete;

  // Durable on return (with synchronous=FULL).
  void Commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace ckptfs
