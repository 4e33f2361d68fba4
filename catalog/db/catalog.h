// The rows of catalog.db.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/interface/templates.h"
#include "catalog/db/records.h"
#include "catalog/db/sqlite.h"
#include "catalog/db/view_numbers.h"
#include "catalog/policies/settings.h"

namespace ckptfs {

// Facts about a store, recorded when it is created.
struct StoreFacts {
  Uuid uuid;
  int64_t created_ns = 0;
  std::string backend_type;
  std::string backend_selection;
  int64_t backend_selected_ns = 0;
};

// When a transaction survives a power failure.
enum class Durability {
  kAtOnce,  // when Commit has returned
  // With the next transaction that is durable at once, or Flush; in the order of the commits. For changes
  // that recovery can find elsewhere until then.
  kWithNextFlush,
};

enum class CatalogCheck {
  kQuick,  // the header, the tables and every row can be read and are as we write them
  kFull,   // and SQLite's integrity check passes; linear in the file's size
};

// The rows of catalog.db, and the only place with SQL for them. Knows neither volumes nor sidecars; the Store
// knows what a row means.
//
// Thread-safe. Reads use their own connection, so they see the last committed state and never wait for a
// transaction. Changes are made through a Transaction; only one exists at a time.
class Catalog {
 public:
  static constexpr char kFileName[] = "catalog.db";
  static constexpr char kLogName[] = "catalog.db-wal";
  // The suffixes of a catalog's file and of SQLite's files beside it.
  static constexpr std::array kSuffixes = {"", "-wal", "-shm", "-journal"};
  // What the WAL needs: SQLite begins it anew after 1000 pages of 4 KiB, and a transaction comes on top.
  static constexpr int64_t kLogBytes = int64_t{5} << 20;

  class Transaction;

  // Creates a complete catalog without rows, in a file that must not exist (EEXIST).
  static void Create(int store_fd, const std::string& file_name, const StoreFacts& facts);
  // Throws Error: ENOENT; EUCLEAN if it is damaged or not a catalog; ENOTSUP if a newer program has written
  // it. `store_fd` must stay open for the lifetime of the catalog.
  static std::unique_ptr<Catalog> Open(int store_fd, const std::string& file_name,
                                       CatalogCheck check);
  // Merges everything into the main file, which alone is then the catalog.
  ~Catalog();
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  StoreFacts Facts() const;
  // Number of transactions that changed something.
  uint64_t Generation() const;
  RootAttributes MountRoot() const;

  std::vector<WorkspaceRecord> ListWorkspaces() const;  // by name
  std::optional<WorkspaceRecord> FindWorkspace(const std::string& name) const;
  std::optional<WorkspaceRecord> FindWorkspace(int64_t id) const;
  std::optional<WorkspaceRecord> FindWorkspaceByVolume(const VolumeId& volume) const;
  // The workspace that a sidecar means. `created_ns` distinguishes it from a former one with the same number.
  std::optional<WorkspaceRecord> FindWorkspaceByView(uint64_t view, int64_t created_ns) const;
  // Changes with every change to the workspace's list of snapshots (its directory's mtime). 0: no such
  // workspace.
  int64_t SnapshotsChangedNs(int64_t workspace_id) const;

  // Snapshots with id > after_id, by id (that is: by age), at most `limit`. Fewer, but at least one, if their
  // texts exceed kPageBytesMax, unless `limit` is SIZE_MAX.
  static constexpr size_t kPageBytesMax = size_t{128} << 10;
  std::vector<SnapshotRecord> ListSnapshots(int64_t workspace_id, int64_t after_id = 0,
                                            size_t limit = SIZE_MAX) const;
  std::vector<SnapshotRecord> ListAllSnapshots() const;  // by id
  // The same without the fields that can make a row large: all of them may be in memory at once.
  std::vector<SnapshotVolume> ListSnapshotVolumes() const;
  std::optional<SnapshotRecord> FindSnapshot(int64_t workspace_id, const std::string& name) const;
  std::optional<SnapshotRecord> FindSnapshot(int64_t id) const;
  std::optional<SnapshotRecord> FindSnapshot(const Uuid& uuid) const;
  std::optional<SnapshotRecord> FindSnapshotByVolume(const VolumeId& volume) const;
  // Reads nothing else of the row, which may be damaged. Empty: no such row.
  Uuid SnapshotUuid(int64_t id) const;
  // The newest of any kind: for counters that must exceed all existing values.
  std::optional<SnapshotRecord> NewestSnapshot(int64_t workspace_id) const;
  // The `n`-th newest checkpoint, counted from 1; `latest` is the first. States that rollbacks kept never
  // count: otherwise a second retry would get the state that failed.
  std::optional<SnapshotRecord> NewestCheckpoint(int64_t workspace_id, uint64_t n = 1) const;
  // When the last automatic cleanup ended; 0: there was none.
  int64_t CleanedNs(int64_t workspace_id) const;
  uint64_t CountSnapshots(int64_t workspace_id) const;
  uint64_t CountCheckpoints(int64_t workspace_id) const;
  int64_t LargestSnapshotId(int64_t workspace_id) const;  // 0: it has none

  // The processes that had files open for writing when that snapshot was taken (Transaction::SetOpenWriters).
  // Empty: unknown (states that rollbacks kept; snapshots of an older ckptfs, or from before a rebuild of the
  // catalog).
  std::optional<OpenWriterList> OpenWriters(int64_t snapshot_id) const;
  // States that rollbacks kept, that are not pinned and have their data, except for the newest `keep` of that
  // workspace. The oldest first, at most `limit`. Reads these rows only.
  std::vector<SnapshotRecord> SurplusUndo(int64_t workspace_id, size_t keep, size_t limit) const;

  // The settings of that workspace; without one, of the store. Invalid ones are left out.
  SettingMap SettingsOf(std::optional<int64_t> workspace_id) const;

  std::vector<VolumeId> Tombstones() const;
  std::optional<int64_t> TombstoneSinceNs(const VolumeId& volume) const;  // empty: it has none

  std::vector<TemplateInfo> ListTemplates() const;  // by name, which is the label
  std::optional<TemplateInfo> FindTemplate(const std::string& name) const;

  // The number for the next new row: neither used by a row or tombstone, nor held. It stays the same until a
  // row with it is inserted, so the caller must keep others from asking until then. Throws ENOSPC if all are
  // in use.
  uint64_t NextView(ViewUse use, const IsViewHeld& is_held = nullptr) const;
  bool IsViewUsed(uint64_t view) const;

  // Makes all committed transactions durable; returns at once if all are. Changes go on meanwhile. If the
  // disk fails, it is unknown which of them are on disk: from then on, every Transaction throws EIO.
  void Flush();

  // Whether that has happened, or the disk failed at a commit in such a way.
  bool is_uncertain() const noexcept { return flush_failed_; }

  // Allocates the WAL's blocks on the disk, so that changes can be made while other programs fill that disk:
  // SQLite writes to them again and again. Idempotent. A failure is only logged: this is a precaution. (A disk
  // with copy-on-write needs new blocks all the same: SpaceReserve.)
  void AllocateLog() const noexcept;

  // Merges the WAL into the database file, which is then durable and complete by itself.
  void MergeLog() { writer_.CheckpointWal(Database::WalFile::kTruncated); }

  // Copies the catalog as it is to a new file in the store's directory.
  void CopyTo(const std::string& file_name);

  // One line for each inconsistency inside the catalog. Linear in its size.
  std::vector<std::string> Verify() const;

 private:
  Catalog(int store_fd, const std::string& file_name);
  // Throws Error EUCLEAN for rows that no transaction of ours can have written.
  void RequireSoundRows() const;
  void SetDurability(Durability durability);
  std::vector<SnapshotRecord> SnapshotsBehind(int64_t workspace_id, int64_t id, size_t limit) const;
  uint64_t LastGiven(const ViewRange& range) const REQUIRES(read_mutex_);
  bool IsUsed(uint64_t view) const REQUIRES(read_mutex_);
  bool IsFull(const ViewRange& range) const REQUIRES(read_mutex_);
  void VisitUsed(uint64_t first, uint64_t last, const std::function<bool(uint64_t)>& visit) const
      REQUIRES(read_mutex_);
  void ViewsReleased();
  // For a transaction that was written but could not be synced: the next start would find it in the WAL and
  // treat it as committed.
  void TakeBack() noexcept;

  const int store_fd_;
  const std::string log_name_;  // of the write-ahead log, in the store's directory
  mutable Mutex read_mutex_;
  mutable Database reader_ GUARDED_BY(read_mutex_);
  // Ranges of view numbers, by their first number, that were found full and have had no number freed since.
  mutable std::set<uint64_t> full_ranges_ GUARDED_BY(read_mutex_);
  Mutex write_mutex_;  // held by a Transaction, which the analysis cannot follow
  Database writer_;
  Durability durability_ = Durability::kAtOnce;  // of the current transaction
  bool unflushed_ = false;                       // both: guarded by write_mutex_
  std::atomic<bool> flush_failed_ = false;
};

}  // namespace ckptfs
