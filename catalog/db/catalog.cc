#include "catalog/db/catalog.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "backend/base/store_file.h"
#include "backend/base/unique_fd.h"
#include "catalog/db/row_check.h"
#include "catalog/db/schema.h"

namespace ckptfs {
namespace {

std::string OneLine(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// SQLite creates a missing file with a mode set by the umask; only root may read ours.
void MakeFile(int store_fd, const std::string& file_name) {
  const int fd =
      openat(store_fd, file_name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) ThrowErrno("create " + file_name);
  const UniqueFd closed_at_once(fd);
}

}  // namespace

void Catalog::Create(int store_fd, const std::string& file_name, const StoreFacts& facts) {
  MakeFile(store_fd, file_name);
  Database database(store_fd, file_name);
  ConfigureConnection(database);
  DatabaseTransaction transaction(database);
  CreateSchema(database);
  database.Run(
      "INSERT INTO store (id, uuid, created_ns, backend_type, backend_selection, "
      "backend_selected_ns, root_mode) VALUES (1, ?, ?, ?, ?, ?, ?)",
      facts.uuid, facts.created_ns, facts.backend_type, facts.backend_selection,
      facts.backend_selected_ns, S_IFDIR | 0755);
  transaction.Commit();
  // Closing the only connection merges the WAL, so that the file can be renamed.
}

Catalog::Catalog(int store_fd, const std::string& file_name)
    : store_fd_(store_fd),
      log_name_(file_name + "-wal"),
      reader_(store_fd, file_name),
      writer_(store_fd, file_name) {}

std::unique_ptr<Catalog> Catalog::Open(int store_fd, const std::string& file_name,
                                       CatalogCheck check) {
  struct stat status {};
  if (fstatat(store_fd, file_name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    ThrowErrno("open " + file_name);
  }
  if (!S_ISREG(status.st_mode)) throw Error(EUCLEAN, "open " + file_name, "it is no regular file");
  std::unique_ptr<Catalog> catalog(new Catalog(store_fd, file_name));  // NOLINT: private
  MigrateSchema(catalog->writer_);
  ConfigureConnection(catalog->writer_);
  {
    const MutexLock lock(catalog->read_mutex_);
    ConfigureConnection(catalog->reader_);
  }
  if (check == CatalogCheck::kFull) {
    Statement found = catalog->writer_.Query("PRAGMA quick_check(1)");
    const std::string verdict = found.Step() ? found.Text(0) : "no answer";
    if (verdict != "ok") throw Error(EUCLEAN, "verify " + file_name, OneLine(verdict));
  }
  // What cannot be read should be found now, while it can still be rebuilt.
  catalog->RequireSoundRows();
  return catalog;
}

Catalog::~Catalog() {
  try {
    writer_.CheckpointWal(Database::WalFile::kKept);
  } catch (const std::exception& error) {
    spdlog::warn("{}; the next start does it", error.what());
  }
}

// Requires the transactions' mutex. Merges all that counts into the database itself, and truncates the WAL.
void Catalog::TakeBack() noexcept {
  try {
    writer_.CheckpointWal(Database::WalFile::kTruncated);
  } catch (const std::exception& error) {
    flush_failed_ = true;
    spdlog::error("{}; whether the last change is on disk is known only at the next mount",
                  error.what());
  }
  AllocateLog();
}

void Catalog::SetDurability(Durability durability) {
  if (durability == durability_) return;
  writer_.Execute(durability == Durability::kAtOnce ? "PRAGMA synchronous = FULL"
                                                    : "PRAGMA synchronous = NORMAL");
  durability_ = durability;
}

void Catalog::Flush() {
  {
    // With the transactions' mutex: whatever a reader can see has been flagged by then.
    const MutexLock lock(write_mutex_);
    if (!unflushed_) return;
    unflushed_ = false;  // a later transaction sets it again
  }
  // What SQLite has moved out of the WAL, it has made durable first. The WAL carries none of SQLite's locks,
  // which closing another descriptor would release.
  const UniqueFd log = TryOpenStoreFile(store_fd_, log_name_, O_RDONLY);
  if (log.valid() ? fdatasync(log.get()) == 0 : errno == ENOENT) return;
  const int failure = errno;
  flush_failed_ = true;
  throw Error(failure, "write " + log_name_ + " to the disk");
}

// The WAL carries none of SQLite's locks (see Flush).
void Catalog::AllocateLog() const noexcept {
  const UniqueFd log = TryOpenStoreFile(store_fd_, log_name_, O_RDWR);
  if (log.valid() && fallocate(log.get(), FALLOC_FL_KEEP_SIZE, 0, kLogBytes) == 0) return;
  if (errno != EOPNOTSUPP) spdlog::warn("allocate {}: {}", log_name_, std::strerror(errno));
}

// --- Reads --------------------------------------------------------------------------------------

StoreFacts Catalog::Facts() const {
  const MutexLock lock(read_mutex_);
  Statement row = reader_.Query(
      "SELECT uuid, created_ns, backend_type, backend_selection, backend_selected_ns FROM store");
  if (!row.Step()) throw Error(EUCLEAN, "read catalog.db", "the store's own row is not there");
  return {.uuid = row.Id(0),
          .created_ns = row.Int(1),
          .backend_type = row.Text(2),
          .backend_selection = row.Text(3),
          .backend_selected_ns = row.Int(4)};
}

uint64_t Catalog::Generation() const {
  const MutexLock lock(read_mutex_);
  Statement row = reader_.Query("SELECT generation FROM store");
  const int64_t generation = row.Step() ? row.Int(0) : 0;
  RowCheck::RequireRange("a count of changes", generation, generation, 2 * kMaxGeneration);
  return static_cast<uint64_t>(generation);
}

RootAttributes Catalog::MountRoot() const {
  const MutexLock lock(read_mutex_);
  Statement row = reader_.Query("SELECT root_mode, root_uid, root_gid, root_acl FROM store");
  if (!row.Step()) throw Error(EUCLEAN, "read catalog.db", "the store's own row is not there");
  RootAttributes root{.mode = static_cast<mode_t>(row.Int(0)),
                      .uid = static_cast<uid_t>(row.Int(1)),
                      .gid = static_cast<gid_t>(row.Int(2)),
                      .acl = row.Text(3)};
  RequireSound(root);
  return root;
}

void Catalog::CopyTo(const std::string& file_name) {
  const MutexLock lock(write_mutex_);
  MakeFile(store_fd_, file_name);  // SQLite would create one that all can read
  writer_.Run("VACUUM INTO ?", fmt::format("/proc/self/fd/{}/{}", store_fd_, file_name));
}

std::vector<std::string> Catalog::Verify() const {
  const MutexLock lock(read_mutex_);
  std::vector<std::string> problems;
  try {
    Statement pages = reader_.Query("PRAGMA integrity_check(20)");
    while (pages.Step()) {
      if (pages.Text(0) != "ok") problems.push_back("catalog.db: " + OneLine(pages.Text(0)));
    }
  } catch (const Error& error) {  // too damaged to be copied
    if (error.errno_value() != EUCLEAN) throw;
    problems.push_back("catalog.db: " + error.why());
    return problems;
  }
  Statement keys = reader_.Query("PRAGMA foreign_key_check");
  while (keys.Step()) {
    problems.push_back(
        fmt::format("catalog.db: row {} of {} refers to a row of {} that is not there", keys.Int(1),
                    keys.Text(0), keys.Text(2)));
  }
  Statement views = reader_.Query(
      "SELECT w.name, s.name, s.view FROM workspace AS w JOIN snapshot AS s ON s.view = w.view");
  while (views.Step()) {
    problems.push_back(fmt::format("workspace {} and snapshot {} have the same view number {}",
                                   views.Text(0), views.Text(1), views.Int(2)));
  }
  Statement volumes = reader_.Query(
      "SELECT volume FROM snapshot WHERE volume IN (SELECT volume FROM workspace) "
      "UNION ALL SELECT volume FROM tombstone WHERE volume IN "
      "(SELECT volume FROM workspace UNION ALL SELECT volume FROM snapshot)");
  while (volumes.Step()) {
    problems.push_back("volume " + volumes.Text(0) + " has more than one owner in catalog.db");
  }
  return problems;
}

}  // namespace ckptfs
