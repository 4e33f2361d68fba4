// The rows of catalog.db.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backend/interface/templates.h"
#include "catalog/db/records.h"
#include "catalog/db/sqlite.h"
#include "catalog/db/view_numbers.h"
#include "catalog/policies/settings.h"

namespace ckptfs {

// What is recorded about a store when it is made.
struct StoreFacts {
  Uuid uuid;
  int64_t created_ns = 0;
  std::string backend_type;
  std::string backend_selection;
  int64_t backend_selected_ns = 0;
};

// When a transaction survives a power cut.
enum class Durability {
  kAtOnce,  // once Commit has returned
  // With the next one that is durable at once, or Flush; in the order of the commits. For what
  // recovery can find again elsewhere until then.
  kWithNextFlush,
};

enum class CatalogCheck {
  kQuick,  // the header, the tables and every row can be read, and are such as we write
  kFull,   // and SQLite finds all pages in order; linear in the file's size
};

// The rows of catalog.db, and the only place with SQL about them. Knows neither volumes nor
// sidecars: what a row means is the Store's affair.
//
// Any thread may call any function. Reads have a connection of their own, so that they see the
// last committed state and never wait for a transaction. Changes are made through a Transaction, of
// which there is one at a time.
class Catalog {
 public:
  static constexpr char kFileName[] = "catalog.db";
  // Of the names of a catalog's file and what SQLite keeps beside it.
  static constexpr std::array kSuffixes = {"", "-wal", "-shm", "-journal"};

  class Transaction;

  // Makes a complete catalog without rows, in a file that must not exist (EEXIST).
  static void Create(int store_fd, const std::string& file_name, const StoreFacts& facts);
  // Throws Error: ENOENT, EUCLEAN if it is damaged or no catalog, ENOTSUP if it is of a newer
  // program. `store_fd` must stay open as long as the catalog lives.
  static std::unique_ptr<Catalog> Open(int store_fd, const std::string& file_name,
                                       CatalogCheck check);
  // Moves everything into the main file, so that it alone is the catalog.
  ~Catalog();
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  StoreFacts Facts() const;
  // Counts the transactions that changed what there is.
  uint64_t Generation() const;
  RootAttributes MountRoot() const;

  std::vector<WorkspaceRecord> ListWorkspaces() const;  // by name
  std::optional<WorkspaceRecord> FindWorkspace(const std::string& name) const;
  std::optional<WorkspaceRecord> FindWorkspace(int64_t id) const;
  std::optional<WorkspaceRecord> FindWorkspaceByVolume(const VolumeId& volume) const;
  // The one that a sidecar means. The time tells it from a former one, whose number it has been given.
  std::optional<WorkspaceRecord> FindWorkspaceByView(uint64_t view, int64_t created_ns) const;
  // Changes whenever the list of snapshots of that workspace does (its directory's mtime). 0: no such one.
  int64_t SnapshotsChangedNs(int64_t workspace_id) const;

  // Snapshots with id > after_id by id (that is: by age), at most `limit`; fewer, but one, where their texts
  // take much memory, unless it is SIZE_MAX.
  static constexpr size_t kPageBytesMax = size_t{128} << 10;
  std::vector<SnapshotRecord> ListSnapshots(int64_t workspace_id, int64_t after_id = 0,
                                            size_t limit = SIZE_MAX) const;
  std::vector<SnapshotRecord> ListAllSnapshots() const;  // by id
  // The same without what can make a row large: all of them may be in memory at once.
  std::vector<SnapshotVolume> ListSnapshotVolumes() const;
  std::optional<SnapshotRecord> FindSnapshot(int64_t workspace_id, const std::string& name) const;
  std::optional<SnapshotRecord> FindSnapshot(int64_t id) const;
  std::optional<SnapshotRecord> FindSnapshot(const Uuid& uuid) const;
  std::optional<SnapshotRecord> FindSnapshotByVolume(const VolumeId& volume) const;
  // The newest of any kind: for what goes on from all that there is.
  std::optional<SnapshotRecord> NewestSnapshot(int64_t workspace_id) const;
  // The `n`-th newest checkpoint, counted from 1; `latest` is the first. States that rollbacks kept never
  // count, or a retry after a retry would be given the state that failed.
  std::optional<SnapshotRecord> NewestCheckpoint(int64_t workspace_id, uint64_t n = 1) const;
  uint64_t CountSnapshots(int64_t workspace_id) const;
  uint64_t CountCheckpoints(int64_t workspace_id) const;
  int64_t LargestSnapshotId(int64_t workspace_id) const;  // 0: it has none

  // Who had files open for writing when that snapshot was taken (Transaction::SetOpenWriters). Empty: that is not
  // known (states that rollbacks kept; snapshots of an older ckptfs, or from before a rebuild of the catalog).
  std::optional<OpenWriterList> OpenWriters(int64_t snapshot_id) const;
  // States that rollbacks kept, are not pinned and have their data, but for the newest `keep` of
  // that workspace: the oldest first, at most `limit`. Looks at these rows only.
  std::vector<SnapshotRecord> SurplusUndo(int64_t workspace_id, size_t keep, size_t limit) const;

  // What has been set for that workspace; without one, for the store. What is not sound is left out.
  SettingMap SettingsOf(std::optional<int64_t> workspace_id) const;

  std::vector<VolumeId> Tombstones() const;

  std::vector<TemplateInfo> ListTemplates() const;  // by name, which is the label
  std::optional<TemplateInfo> FindTemplate(const std::string& name) const;

  // The number that the next new row should have: one that no row and no tombstone has, and that is
  // not held. It is the same until a row with it is put in, so whoever asks must keep others from
  // asking until then. Throws ENOSPC if all are in use.
  uint64_t NextView(ViewUse use, const IsViewHeld& is_held = nullptr) const;
  bool IsViewUsed(uint64_t view) const;

  // Makes all transactions durable that are not yet; returns at once if there are none. Changes go on
  // meanwhile. If the disk fails at it nobody can tell what of them it has: no Transaction begins any more,
  // with EIO.
  void Flush();

  // Whether that has happened, or the disk failed at a commit in such a way.
  bool is_uncertain() const noexcept { return flush_failed_; }

  // Moves all of the log into the database file, which is durable and complete by itself then.
  void MergeLog() { writer_.CheckpointWal(); }

  // A copy of the catalog as it is, in a new file of the store's directory.
  void CopyTo(const std::string& file_name);

  // One line for each thing that is wrong inside the catalog itself. Linear in its size.
  std::vector<std::string> Verify() const;

 private:
  Catalog(int store_fd, const std::string& file_name);
  // Throws Error EUCLEAN for rows that no transaction of ours can have left.
  void RequireSoundRows() const;
  void SetDurability(Durability durability);
  std::vector<SnapshotRecord> SnapshotsBehind(int64_t workspace_id, int64_t id, size_t limit) const;
  uint64_t LastGiven(const ViewRange& range) const;
  bool IsUsed(uint64_t view) const;
  bool IsFull(const ViewRange& range) const;
  void VisitUsed(uint64_t first, uint64_t last, const std::function<bool(uint64_t)>& visit) const;
  void ViewsReleased();
  // Of a transaction that was written and could not be synced: the next start would find it in the log
  // and take it for one that has happened.
  void TakeBack() noexcept;

  const int store_fd_;
  const std::string log_name_;  // of SQLite's write-ahead log, in the store's directory
  mutable std::mutex read_mutex_;
  mutable Database reader_;
  // Ranges of view numbers, by their first, that rows and tombstones had used up when somebody looked, and of
  // which none was given back since. Guarded by read_mutex_.
  mutable std::set<uint64_t> full_ranges_;
  std::mutex write_mutex_;
  Database writer_;
  Durability durability_ = Durability::kAtOnce;  // of the transaction that is under way
  bool unflushed_ = false;                       // guarded by write_mutex_
  std::atomic<bool> flush_failed_ = false;
};

}  // namespace ckptfs
