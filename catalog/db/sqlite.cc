#include "catalog/db/sqlite.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/store_file.h"
#include "backend/base/text.h"

namespace ckptfs {
namespace {

constexpr char kVfsName[] = "ckptfs";
constexpr int kBusyTimeoutMs = 10'000;
// A forged database must not use up all memory. Ours need a few MiB.
constexpr int64_t kHeapBytesMax = int64_t{256} << 20;
// For one row: a message, metadata, an ACL and a list of attributes, 64 KiB each, and names.
constexpr int kRowBytesMax = 1 << 20;
// The file grows in such steps, so that small changes seldom need new blocks of a disk that may be full.
constexpr int kGrowthBytes = 256 << 10;
// More than a catalog of 10^5 snapshots with the longest messages and metadata.
constexpr uint64_t kFileBytesMax = uint64_t{16} << 30;

int ErrnoOf(sqlite3* handle, int result) {
  const int system = handle == nullptr ? 0 : sqlite3_system_errno(handle);
  switch (result & 0xff) {
    case SQLITE_FULL:
      return ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // "no such table": our statements are right, so the file is wrong
    case SQLITE_SCHEMA:
      return EUCLEAN;
    case SQLITE_CONSTRAINT:
      return result == SQLITE_CONSTRAINT_UNIQUE || result == SQLITE_CONSTRAINT_PRIMARYKEY ? EEXIST
                                                                                          : EINVAL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return EBUSY;
    case SQLITE_READONLY:
      return EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return EACCES;
    case SQLITE_NOMEM:
      return ENOMEM;
    case SQLITE_TOOBIG:  // what we write is smaller
      return EUCLEAN;
    case SQLITE_CANTOPEN:
      return system != 0 ? system : EIO;
    case SQLITE_IOERR:
      // The shared-memory file and the WAL report a full disk as a failed write.
      return system == ENOSPC || system == EDQUOT ? system : EIO;
    default:
      return EIO;
  }
}

// When it opens a path, SQLite resolves symbolic links and uses the result from then on. Our path leads
// through /proc/self/fd and must stay as it is: the directory's own path may later be covered by a mount,
// ours for one.
int KeepPath(sqlite3_vfs* /*vfs*/, const char* name, int size, char* out) {
  const size_t length = std::strlen(name);
  if (length + 1 > static_cast<size_t>(size)) return SQLITE_CANTOPEN;
  std::memcpy(out, name, length + 1);
  return SQLITE_OK;
}

sqlite3_vfs& ExclusiveVfs() {
  static sqlite3_vfs& vfs = *sqlite3_vfs_find("unix-excl");
  return vfs;
}

// "unix-excl" instead of "unix": the WAL index is in memory, shared by all connections of this process, and
// no other process can open the database meanwhile. With "unix" the index is a mapped file beside the
// database, and touching it while its disk fails kills the process with SIGBUS. SQLite uses the VFS name that
// is passed on here.
int OpenExclusively(sqlite3_vfs* /*vfs*/, const char* name, sqlite3_file* file, int flags,
                    int* out_flags) {
  return ExclusiveVfs().xOpen(&ExclusiveVfs(), name, file, flags, out_flags);
}

// Registers the variant of SQLite's VFS made of these functions; once per process.
void RegisterVfs() {
  static sqlite3_vfs vfs = [] {
    sqlite3_vfs copy = ExclusiveVfs();
    copy.zName = kVfsName;
    copy.pNext = nullptr;
    copy.xFullPathname = KeepPath;
    copy.xOpen = OpenExclusively;
    return copy;
  }();
  static const int registered = sqlite3_vfs_register(&vfs, /*makeDflt=*/0);
  if (registered != SQLITE_OK) throw Error(ENOMEM, "register SQLite's file layer");
  sqlite3_hard_heap_limit64(kHeapBytesMax);
}

// Refuses what is not a regular file: SQLite opens these names by its own rules (without following a symbolic
// link), and might block on them or act on them. A rollback journal is never ours, since the catalog uses a
// WAL; and a forged one can name any file of the system for deletion ("super-journal").
void RefuseOddFiles(int directory_fd, const std::string& file_name) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const std::string name = file_name + suffix;
    const std::string oddity = StoreFileOddity(directory_fd, name, kFileBytesMax);
    if (!oddity.empty()) throw Error(EUCLEAN, "open " + name, oddity);
  }
  if (!HasEntry(directory_fd, file_name + "-journal")) return;
  throw Error(EUCLEAN, "open " + file_name,
              "there is a rollback journal that ckptfs did not write");
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      sql_(other.sql_),
      statement_(std::exchange(other.statement_, nullptr)) {}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  try {
    database_->idle_[sql_].push_back(statement_);
  } catch (...) {  // no memory for the cache
    sqlite3_finalize(statement_);
  }
}

bool Statement::Step() {
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result != SQLITE_DONE) database_->Throw(result, "read or change " + database_->name_);
  return false;
}

void Statement::Run() {
  while (Step()) {
  }
}

int64_t Statement::Int(int column) const {
  const int type = sqlite3_column_type(statement_, column);
  if (type != SQLITE_INTEGER && type != SQLITE_NULL) {
    throw Error(EUCLEAN, "read " + database_->name_,
                "it holds something else in the place of a number");
  }
  return sqlite3_column_int64(statement_, column);
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::string Statement::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), size);
}

Uuid Statement::Id(int column) const {
  const std::string text = Text(column);
  std::optional<Uuid> id = Uuid::Parse(text);
  if (!id) {
    constexpr size_t kMostQuoted = 64;
    throw Error(EUCLEAN, "read " + database_->name_,
                fmt::format("it holds \"{}\" in the place of a UUID", Excerpt(text, kMostQuoted)));
  }
  return *std::move(id);
}

std::optional<int64_t> Statement::OptionalInt(int column) const {
  if (IsNull(column)) return std::nullopt;
  return Int(column);
}

void Statement::Bind(int index, int64_t value) {
  const int result = sqlite3_bind_int64(statement_, index, value);
  if (result != SQLITE_OK) database_->Throw(result, "bind a number");
}

void Statement::Bind(int index, std::string_view value) {
  const int result = sqlite3_bind_text64(statement_, index, value.data(), value.size(),
                                         SQLITE_TRANSIENT, SQLITE_UTF8);  // NOLINT: its C cast
  if (result != SQLITE_OK) database_->Throw(result, "bind a text");
}

void Statement::Bind(int index, const Blob& value) {
  // An empty blob needs an address: SQLite binds a null pointer as NULL.
  const char* bytes = value.bytes.empty() ? "" : value.bytes.data();
  const int result = sqlite3_bind_blob64(statement_, index, bytes, value.bytes.size(),
                                         SQLITE_TRANSIENT);  // NOLINT: its C cast
  if (result != SQLITE_OK) database_->Throw(result, "bind bytes");
}

void Statement::Bind(int index, const std::optional<int64_t>& value) {
  if (value) {
    Bind(index, *value);
    return;
  }
  const int result = sqlite3_bind_null(statement_, index);
  if (result != SQLITE_OK) database_->Throw(result, "bind NULL");
}

Database::Database(int directory_fd, const std::string& file_name) : name_(file_name) {
  RefuseOddFiles(directory_fd, file_name);
  Open(fmt::format("/proc/self/fd/{}/{}", directory_fd, file_name), SQLITE_OPEN_READWRITE);
}

Database::Database(InMemory /*in_memory*/) : name_("a database in memory") {
  Open(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY);
}

void Database::Open(const std::string& path, int flags) {
  RegisterVfs();
  const int result = sqlite3_open_v2(path.c_str(), &handle_, flags | SQLITE_OPEN_NOMUTEX, kVfsName);
  try {
    if (result != SQLITE_OK) Throw(result, "open " + name_);
    sqlite3_extended_result_codes(handle_, 1);
    sqlite3_busy_timeout(handle_, kBusyTimeoutMs);
    int growth_bytes = kGrowthBytes;
    sqlite3_file_control(handle_, "main", SQLITE_FCNTL_CHUNK_SIZE, &growth_bytes);
    Harden();
  } catch (...) {
    Close();
    throw;
  }
}

// Called before SQLite reads the file for the first time.
void Database::Harden() {
  const auto set = [this](int option, int value) {
    const int result = sqlite3_db_config(handle_, option, value, nullptr);  // NOLINT: variadic
    if (result != SQLITE_OK) Throw(result, "make safe " + name_);
  };
  set(SQLITE_DBCONFIG_DEFENSIVE, 1);
  set(SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0);
  set(SQLITE_DBCONFIG_ENABLE_TRIGGER, 0);
  set(SQLITE_DBCONFIG_ENABLE_VIEW, 0);
  set(SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0);
  sqlite3_limit(handle_, SQLITE_LIMIT_LENGTH, kRowBytesMax);
  sqlite3_limit(handle_, SQLITE_LIMIT_SQL_LENGTH, kRowBytesMax);
  sqlite3_limit(handle_, SQLITE_LIMIT_ATTACHED, 1);  // for VACUUM INTO
  sqlite3_limit(handle_, SQLITE_LIMIT_COLUMN, 100);
  sqlite3_limit(handle_, SQLITE_LIMIT_EXPR_DEPTH, 100);
  sqlite3_limit(handle_, SQLITE_LIMIT_WORKER_THREADS, 0);
  Execute("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY");
}

Database::~Database() { Close(); }

void Database::Close() noexcept {
  for (auto& [sql, statements] : idle_) {
    for (sqlite3_stmt* statement : statements) sqlite3_finalize(statement);
  }
  idle_.clear();
  const int result = sqlite3_close(handle_);
  if (result == SQLITE_OK) return;
  try {
    spdlog::error("close of {}: {}", name_, sqlite3_errstr(result));
  } catch (...) {  // logging must not terminate the program from a destructor
  }
}

void Database::Execute(const std::string& sql) {
  const int result = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) Throw(result, "read or change " + name_);
}

Statement Database::Take(std::string_view sql) {
  std::vector<sqlite3_stmt*>& idle = idle_[sql];
  if (!idle.empty()) {
    sqlite3_stmt* statement = idle.back();
    idle.pop_back();
    return Statement(*this, sql, statement);
  }
  sqlite3_stmt* statement = nullptr;
  const int result = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (result != SQLITE_OK) Throw(result, "read " + name_);
  return Statement(*this, sql, statement);
}

int64_t Database::PragmaInt(std::string_view literal) {
  Statement statement = Query(literal);
  return statement.Step() ? statement.Int(0) : 0;
}

void Database::CheckpointWal(WalFile then) {
  const int mode =
      then == WalFile::kTruncated ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_FULL;
  const int result = sqlite3_wal_checkpoint_v2(handle_, nullptr, mode, nullptr, nullptr);
  if (result != SQLITE_OK) Throw(result, "checkpoint the log of " + name_);
}

void Database::Throw(int result, std::string_view attempted) const {
  const int error = ErrnoOf(handle_, result);
  const std::string why = handle_ == nullptr ? sqlite3_errstr(result) : sqlite3_errmsg(handle_);
  std::string hint;
  if (error == ENOSPC || error == EDQUOT) {
    hint = "Make room on the filesystem that holds the store, or delete snapshots";
  }
  throw Error(error, attempted, "SQLite: " + why, hint);
}

DatabaseTransaction::DatabaseTransaction(Database& database) : database_(database) {
  database_.Run("BEGIN IMMEDIATE");
}

DatabaseTransaction::~DatabaseTransaction() {
  if (!open_) return;
  try {
    database_.Run("ROLLBACK");
  } catch (const std::exception& error) {  // SQLite itself rolls back after some errors
    spdlog::debug("rollback of a catalog transaction: {}", error.what());
  }
}

void DatabaseTransaction::Commit() {
  database_.Run("COMMIT");
  open_ = false;
}

}  // namespace ckptfs
