// What the operations of a Store have in common. Private to catalog/.
#pragma once

#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "backend/interface/backend.h"
#include "catalog/db/catalog_transaction.h"
#include "catalog/sidecar/sidecar.h"
#include "catalog/sidecar/sidecar_writer.h"
#include "catalog/store/cautious_clock.h"
#include "catalog/store/first_mount.h"
#include "catalog/store/given_views.h"
#include "catalog/store/janitor.h"
#include "catalog/store/lock.h"
#include "catalog/store/operation_locks.h"
#include "catalog/store/reserve.h"
#include "catalog/store/store.h"
#include "catalog/store/unsealed_states.h"

namespace ckptfs {

// An open store. Members are destroyed from the last to the first: the background work ends while
// catalog and backend are still there, and the lock goes when all else has gone.
//
// `operations` says who may change what at the same time; those who read rows need no lock.
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

  // Throws EROFS.
  void RequireWritable(std::string_view attempted) const;
  // Throw ENOENT.
  WorkspaceRecord Workspace(int64_t id) const;
  SnapshotRecord Snapshot(int64_t id) const;
  // A snapshot whose data is there: EIO, with the way out, otherwise.
  void RequireData(const SnapshotRecord& snapshot, std::string_view attempted) const;

  // That nobody writes to it any more, and it is read-only: EBUSY otherwise.
  void RequireSettled(const SnapshotRecord& snapshot, std::string_view attempted);

  // Commits, and tells the store beside the catalog, for which `change` must be durable at once. When
  // this throws nothing has happened. (Of a store that is read-only the catalog is a copy, which all ends in.)
  void Commit(Catalog::Transaction& transaction) const;
  // Runs `transaction`, and once more with the space reserve given up if the disk was full. For
  // what makes room.
  template <typename Transaction>
  void WithReserve(const Transaction& transaction) {
    try {
      transaction();
    } catch (const Error& error) {
      const bool full = error.errno_value() == ENOSPC || error.errno_value() == EDQUOT;
      if (!full || options.read_only || !reserve.Release()) throw;
      transaction();
    }
  }

  // Destroys a volume that has a tombstone (or never had a row), and sees to the end of it in the
  // background. A failure is logged: the tombstone makes the next start repeat it.
  void Destroy(const VolumeId& volume) noexcept;
  // Makes a volume that was live read-only, for recovery.
  void Seal(const VolumeId& volume) const noexcept;

  // The number of a tree to come. To be kept until that has its row.
  GivenViews::Number NextView(ViewUse use) { return given_views.Take(*catalog, use); }

  // A snapshot that nobody else changes or deletes, nor anything of its workspace. Throws ENOENT.
  struct HeldSnapshot {
    OperationLocks::Hold hold;
    SnapshotRecord snapshot;  // as it is now
  };
  HeldSnapshot HoldSnapshot(int64_t id);

  // A time for a new snapshot of that workspace: now, and later than that of the newest.
  int64_t SnapshotTime(int64_t workspace_id) const;
  // `wanted`, or wanted-2, wanted-3, ... if that workspace has a snapshot of this name.
  std::string FreeSnapshotName(int64_t workspace_id, const std::string& wanted) const;

  const StoreOptions options;
  const std::unique_ptr<MadeDirectory> made;
  const UniqueFd directory;
  const std::unique_ptr<StoreLock> lock;
  FirstMount first_mount;
  const SpaceReserve reserve;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<MetaDirectory> meta;
  UniqueFd catalog_copy;  // -o ro: the directory that the catalog is in (CopyCatalog)
  std::unique_ptr<Catalog> catalog;
  std::unique_ptr<SidecarWriter> sidecars;
  UnsealedStates unsealed;
  std::unique_ptr<Janitor> janitor;
  OperationLocks operations;
  // No workspace has this id.
  static constexpr int64_t kMountRootLock = 0;
  GivenViews given_views;
  const CautiousClock clock;  // for ages that decide about a deletion

  // Facts that are known once the backend is open.
  void SetBackendFacts(const StoreFacts& facts);
  // The catalog is a new one: sidecars without a row may belong to what comes back later.
  void SetRebuilt() noexcept { rebuilt_ = true; }
  bool rebuilt() const noexcept { return rebuilt_; }
  // All is mended that can be: from here on a stop is a clean one.
  void SetOpened() noexcept { opened_ = true; }

 private:
  bool opened_ = false;
  bool rebuilt_ = false;
  mutable std::mutex status_mutex_;
  StoreStatus status_;
};

class Store::Impl final : public StoreContext {
 public:
  using StoreContext::StoreContext;
};

// A volume that an operation makes before the transaction that gives it a row. Writes its sidecar
// first. Unless Committed is called, volume and sidecar are removed at the end, for good before this
// has died; after a crash recovery does that, or makes the row, for which the sidecar tells it enough.
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
  bool committed_ = false;
};

// Throws EINVAL if it is too long, or no text.
void CheckMessage(std::string_view message);

// The rows of a checkpoint of the live tree `live`, whose change marker was `marker`. Its parent is that of
// the live tree at this moment. Returns the snapshot's id.
int64_t InsertCheckpoint(Catalog::Transaction& transaction, SnapshotRecord snapshot,
                         const VolumeId& live, uint64_t marker);

// Owner, mode and ACL of a volume's root, as they are now.
RootAttributes ReadRootAttributes(const Volume& volume);

// The one answer to whether a state differs from the snapshot that it came from: it does if Changes says so, so
// an access time alone is no difference. `state` is sealed for it if need be; nobody may be writing to it.
// The quick look comes first; where it would take more than `files_max` files, they count as different. A
// snapshot that programs go on writing to is like nothing: nobody knows yet what it will be; what is
// too large to be compared within the limits differs, too. Throws Error.
bool DiffersFromSnapshot(StoreContext& store, const SnapshotRecord& snapshot, const VolumeId& state,
                         size_t files_max, WorkLimits& limits);

// Takes out of a new live tree, which nobody has seen yet, the files that were unlinked but open when
// its snapshot was taken: nobody has them open in this one. Takes a moment for each; the tree that it
// is to replace is served meanwhile. If power goes in it, the volume is debris as it was before.
void RemoveUnlinked(StoreContext& store, const VolumeId& fresh);

// Deletes a snapshot, pinned or not, with its workspace held. When it returns it is gone for good;
// its space comes back in the background.
void DeleteForGood(StoreContext& store, const SnapshotRecord& snapshot);

// Rows for the templates that the backend has, in a catalog that has none yet.
void InsertTemplatesOf(Backend& backend, Catalog::Transaction& transaction);
// Tells the backend what the catalog knows of templates, and settles those of which the backend alone
// knows.
void SettleTemplates(StoreContext& store);
// Throws ENOTSUP where the backend has no templates.
TemplateKeeper& RequireTemplates(const StoreContext& store, std::string_view attempted);

}  // namespace ckptfs
