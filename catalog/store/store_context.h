// Shared by the operations of a Store. Private to catalog/.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "backend/base/mutex.h"
#include "backend/interface/backend.h"
#include "catalog/db/catalog_transaction.h"
#include "catalog/sidecar/sidecar.h"
#include "catalog/sidecar/sidecar_writer.h"
#include "catalog/store/cautious_clock.h"
#include "catalog/store/first_mount.h"
#include "catalog/store/given_views.h"
#include "catalog/store/in_work.h"
#include "catalog/store/janitor.h"
#include "catalog/store/lock.h"
#include "catalog/store/operation_locks.h"
#include "catalog/store/reserve.h"
#include "catalog/store/store.h"
#include "catalog/store/unsealed_states.h"

namespace ckptfs {

// An open store. Members are destroyed last to first: background work ends while catalog and backend still
// exist, and the lock is released after everything else.
//
// `operations` decides which changes may run concurrently; reading rows needs no lock.
class StoreContext {
 public:
  StoreContext(StoreOptions store_options, std::unique_ptr<MadeDirectory> made_directory,
               UniqueFd store_directory, std::unique_ptr<StoreLock> store_lock);
  ~StoreContext();
  StoreContext(const StoreContext&) = delete;
  StoreContext& operator=(const StoreContext&) = delete;

  StoreStatus Status() const;
  // Logs the sentence, and keeps it for `ckpt status`.
  void Warn(const std::string& sentence);
  bool IsReadOnly() const;
  void SetReadOnly(bool read_only);

  // As Store::Failure.
  std::optional<StorageFailure> Failure() const;
  // Throws EROFS.
  void RequireWritable(std::string_view attempted) const;
  // Throw ENOENT.
  WorkspaceRecord Workspace(int64_t id) const;
  SnapshotRecord Snapshot(int64_t id) const;
  // As Store::SettingsFor.
  Settings SettingsFor(std::optional<int64_t> workspace_id) const;
  // Requires that the snapshot's data exists: otherwise EIO, with the remedy.
  void RequireData(const SnapshotRecord& snapshot, std::string_view attempted) const;

  // Requires that nobody writes to it any more, and makes it read-only if it is not: otherwise EBUSY.
  void RequireSettled(const SnapshotRecord& snapshot, std::string_view attempted);

  // Commits, and records the generation beside the catalog, for which the transaction must be durable at
  // once. If this throws, nothing has happened. (The catalog of a read-only store is a copy: then only that
  // is changed.)
  void Commit(Catalog::Transaction& transaction) const;
  // Runs `transaction`; if the disk is full, runs it again after releasing the space reserve, which is made
  // again when there is space (RequireSpace). For transactions that free space, or may be the way to free it.
  template <typename Transaction>
  void WithReserve(const Transaction& transaction) {
    try {
      transaction();
    } catch (const Error& error) {
      const bool full = error.errno_value() == ENOSPC || error.errno_value() == EDQUOT;
      if (!full || options.read_only || !reserve.Release()) throw;
      reserve_is_out = true;
      transaction();
    }
  }

  // Updates that volume's sidecar, or store.json; later, if that is not possible now (SidecarWriter::Refresh).
  void RefreshSidecar(const VolumeId& volume) const;
  void RefreshStoreFile() const;

  // Makes the space reserve, and allocates the catalog's WAL, as far as the disk has space. Whether the reserve is
  // there.
  bool MakeReserve() const;

  // Destroys a volume that has a tombstone (or never had a row), and finishes in the background. After a failure
  // the janitor tries again, and, because of the tombstone, the next start.
  void Destroy(const VolumeId& volume) noexcept;
  // Makes a formerly live volume read-only, for recovery.
  void Seal(const VolumeId& volume) const noexcept;

  // The view number for a new tree. To be kept until the tree has its row.
  GivenViews::Number NextView(ViewUse use) { return given_views.Take(*catalog, use); }

  // A snapshot that nobody else can change or delete, nor anything else of its workspace. Throws ENOENT.
  struct HeldSnapshot {
    OperationLocks::Hold hold;
    SnapshotRecord snapshot;  // as it is now
  };
  HeldSnapshot HoldSnapshot(int64_t id);

  // The time for a new snapshot of that workspace: now, but later than that of the newest.
  int64_t SnapshotTime(int64_t workspace_id) const;
  // `wanted`, or wanted-2, wanted-3, ... if that workspace has a snapshot of that name.
  std::string FreeSnapshotName(int64_t workspace_id, const std::string& wanted) const;

  const StoreOptions options;
  const std::unique_ptr<MadeDirectory> made;
  const UniqueFd directory;
  const std::unique_ptr<StoreLock> lock;
  FirstMount first_mount;
  const SpaceReserve reserve;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<MetaDirectory> meta;
  UniqueFd catalog_copy;  // -o ro: the directory of the catalog's copy (CopyCatalog)
  std::unique_ptr<Catalog> catalog;
  std::unique_ptr<SidecarWriter> sidecars;
  UnsealedStates unsealed;
  std::unique_ptr<Janitor> janitor;
  OperationLocks operations;
  // No workspace has this id.
  static constexpr int64_t kMountRootLock = 0;
  GivenViews given_views;
  InWork in_work;
  // Held while something is judged to be garbage and removed, or given a row again. No operation lock is taken
  // while it is held.
  Mutex judging;
  const CautiousClock clock;  // for ages that decide about a deletion
  KnownHealth health;
  std::atomic<bool> space_was_low{false};  // at the last RequireSpace
  std::atomic<bool> reserve_is_out{false};
  bool reserve_is_log = false;  // it has become the catalog's WAL
  std::atomic<std::chrono::steady_clock::time_point>
      next_collection{};  // that RequireSpace asks for

  // Facts that are known once the backend is open.
  void SetBackendFacts(const StoreFacts& facts);
  // The catalog was rebuilt: sidecars without a row may belong to volumes that come back later.
  void SetRebuilt() noexcept { rebuilt_ = true; }
  bool rebuilt() const noexcept { return rebuilt_; }
  // Everything repairable is repaired: from here on a stop is clean.
  void SetOpened() noexcept { opened_ = true; }

 private:
  bool opened_ = false;
  bool rebuilt_ = false;
  mutable Mutex status_mutex_;
  StoreStatus status_ GUARDED_BY(status_mutex_);
};

class Store::Impl final : public StoreContext {
 public:
  using StoreContext::StoreContext;
};

// A volume that an operation creates before the transaction that gives it a row. Writes its sidecar first.
// Unless Committed is called, the destructor removes volume and sidecar for good. After a crash recovery does
// that, or makes the row, for which the sidecar has enough information.
class StagedVolume {
 public:
  StagedVolume(StoreContext& store, const Sidecar& sidecar);
  ~StagedVolume();
  StagedVolume(const StagedVolume&) = delete;
  StagedVolume& operator=(const StagedVolume&) = delete;

  const VolumeId& id() const noexcept { return id_; }
  void Committed();

 private:
  StoreContext& store_;
  VolumeId id_;
  const InWork::Volume in_work_;
  bool committed_ = false;
};

// For each operation that makes something new, before it does: throws ENOSPC, with the remedy, if there would be
// too little space left for that to be safe. Operations that free space, read or roll back never ask.
void RequireSpace(StoreContext& store, std::string_view attempted);
// As Store::SpaceWarnings.
std::vector<std::string> SpaceWarnings(const StoreContext& store);

// Throws EINVAL if it is too long, or not text.
void CheckMessage(std::string_view message);

// Inserts the rows of a checkpoint of the live tree `live`, whose change marker was `marker`. Its parent is
// the live tree's present one. Returns the snapshot's id.
int64_t InsertCheckpoint(Catalog::Transaction& transaction, SnapshotRecord snapshot,
                         const VolumeId& live, uint64_t marker);

// Owner, mode and ACL of a volume's root, as they are now.
RootAttributes ReadRootAttributes(const Volume& volume);

// Whether a state differs from the snapshot that it came from; all callers use this definition. It differs if
// Changes finds a difference, so an access time alone is none. Seals `state` for that if needed; nobody may
// be writing to it. The quick look comes first; if that would have to examine more than `files_max` files,
// the states count as different. They also differ if programs are still writing to the snapshot, whose final
// state is unknown, or if they are too large to be compared within the limits. Throws Error.
bool DiffersFromSnapshot(StoreContext& store, const SnapshotRecord& snapshot, const VolumeId& state,
                         size_t files_max, WorkLimits& limits);

// Removes from a new live tree, still invisible, the files that were unlinked but open when its snapshot was
// taken: nobody has them open in this tree. Takes a moment per file; meanwhile the old tree is still served.
// If power fails, the volume is debris, as before.
void RemoveUnlinked(StoreContext& store, const VolumeId& fresh);

// Throws EBUSY for what was `attempted` if the snapshot is pinned or held; `what` is how to call it.
void RequireUnprotected(const SnapshotRecord& snapshot, const std::string& attempted,
                        const std::string& what);

// Deletes a snapshot, pinned or not; the caller holds its workspace. Gone for good on return; its space is
// freed in the background.
void DeleteForGood(StoreContext& store, const SnapshotRecord& snapshot);

// Inserts rows for the backend's templates into a catalog that has none yet.
void InsertTemplatesOf(Backend& backend, Catalog::Transaction& transaction);
// Throws ENOTSUP if the backend has no templates.
TemplateKeeper& RequireTemplates(const StoreContext& store, std::string_view attempted);

}  // namespace ckptfs
