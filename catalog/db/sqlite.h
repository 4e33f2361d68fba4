// SQLite's C interface with RAII and exceptions.
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

// A bytes argument, as opposed to text.
struct Blob {
  std::string_view bytes;
};

// A prepared statement with bound arguments, on loan from its Database; returned (reset) by the destructor.
// Must not outlive the Database; the same thread rules apply.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  // Whether there is another row, whose columns can then be read.
  bool Step();
  // Runs a statement that returns no rows.
  void Run();

  // 0 for NULL. Throws Error EUCLEAN for any other value that is not an integer.
  int64_t Int(int column) const;
  bool IsNull(int column) const;
  std::string Text(int column) const;  // also of a blob, verbatim
  // Throws Error EUCLEAN if the value is not a UUID.
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
  std::string_view sql_;  // the key in the cache
  sqlite3_stmt* statement_;
};

// One connection to one database file. Prepared statements are cached. Errors are thrown as Error with the
// nearest errno: ENOSPC (full), EUCLEAN (damaged, or not a database), EEXIST (a UNIQUE constraint), EBUSY,
// EROFS, EIO, ENOMEM.
//
// Used by one thread at a time: its owner has a mutex for it.
class Database {
 public:
  // Opens `file_name` in the directory `directory_fd`, which must exist. The directory is reached through the
  // descriptor for the lifetime of this object, whatever is mounted or moved at its path; `directory_fd` must
  // stay open as long.
  //
  // The file may be forged. So SQLite's schema features that run code are off (triggers, views, functions;
  // see sqlite.org/security.html), its memory is limited, and database files that are not regular files are
  // refused (EUCLEAN). The owner must check the tables before it reads from them.
  Database(int directory_fd, const std::string& file_name);
  // An empty in-memory database.
  struct InMemory {};
  explicit Database(InMemory in_memory);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // A statement with bound arguments. `sql` must be a string literal: the cache keeps a reference to it.
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
  // The result of a PRAGMA that returns one integer.
  int64_t PragmaInt(std::string_view literal);
  // Merges the write-ahead log into the database file; the log keeps its blocks, or gives them back to the disk.
  enum class WalFile { kKept, kTruncated };
  void CheckpointWal(WalFile then);
  // Whether the last call failed because it wrote to the WAL and could not sync it.
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

// A write transaction: takes the write lock at once, so that it cannot fail half-way because of a lock;
// rolled back if destroyed without Commit.
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
