// A store: catalog and backend, and the operations that keep them consistent.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/interface/backend.h"
#include "catalog/db/catalog.h"
#include "catalog/db/metadata.h"
#include "catalog/db/records.h"
#include "catalog/db/view_numbers.h"
#include "catalog/policies/settings.h"
#include "catalog/store/garbage.h"
#include "catalog/store/health.h"
#include "catalog/store/phases.h"

namespace ckptfs {

struct StoreOptions {
  std::string path;              // SOURCE, as given by the user
  std::string backend = "auto";  // -o backend=
  BackendOptions backend_options;
  bool create = true;      // false: -o nocreate
  bool read_only = false;  // -o ro
  bool undo = true;        // -o undo=: keep the state before a rollback
  // -o undo_keep=, undo_keep_time=: of the states that rollbacks kept, the newest `undo_keep` of each
  // workspace stay, and all younger than `undo_keep_time`. Pinned ones stay, and are not counted.
  size_t undo_keep = 10;
  std::chrono::nanoseconds undo_keep_time = std::chrono::hours(1);
};

// Facts about the opened store, for `ckpt status` and the log.
struct StoreStatus {
  std::string source;
  std::string backend_type;
  std::string backend_selection;
  int64_t backend_selected_at_ns = 0;
  bool clean_start = true;            // false: the last run did not end cleanly
  bool read_only = false;             // by option, or because recovery requires it
  std::vector<std::string> warnings;  // one sentence each, including the remedy
};

struct CheckpointRequest {
  std::string name;  // empty: ckpt-<UTC time>, or auto-<UTC time> if scheduled; made unique
  std::string message;
  Metadata metadata;
  bool pinned = false;
  SnapshotKind kind = SnapshotKind::kManual;  // or kScheduled
};

struct DiffRequest {
  int64_t older_snapshot_id = 0;
  std::optional<int64_t> newer_snapshot_id;  // empty: the live tree
  int64_t workspace_id = 0;
};

enum class ExchangeMode { kKeepSnapshot, kExchange };

struct RollbackRequest {
  int64_t workspace_id = 0;  // whose live state is replaced
  int64_t snapshot_id = 0;   // of this or another workspace (promotion)
  ExchangeMode mode = ExchangeMode::kKeepSnapshot;
  // If programs are still writing to the snapshot (since an earlier rollback), use its present state instead
  // of refusing. Not for an exchange.
  bool even_in_writing = false;
};

struct CleanupRequest {
  int64_t workspace_id = 0;
  KeepRules rules;
  // For automatic runs. Checkpoints younger than this are kept, and those dated after now. But none whose id is
  // at most `old_up_to_id`: they have been seen for so long, whatever their dates say.
  int64_t min_age_ns = 0;
  int64_t old_up_to_id = 0;
  // Instead of the rules: everything else may go.
  bool ignore_rules = false;
};

// What happens to one checkpoint, by the rules and protections.
struct CleanupVerdict {
  int64_t snapshot_id = 0;
  std::string name;
  int64_t created_ns = 0;
  bool keep = true;
  std::vector<std::string> reasons;  // why it is kept or removed
};

// The result of Store::LimitUndo.
struct UndoLimitStep {
  std::optional<SnapshotRecord> deleted;
  // Nothing was deleted, but there may be something to delete after this time; empty: no need to wait.
  std::optional<std::chrono::nanoseconds> wait = std::nullopt;
};

struct FsckReport {
  std::vector<std::string> problems;  // one line each; empty: no problem
  std::vector<std::string> repaired;  // what `repair` repaired
};

// The store of one mount. Owns the lock, the catalog and the backend. Thread-safe. Operations that change the
// same workspace, or its snapshots, run one at a time, in the order of the calls (OperationLocks); others run
// concurrently.
//
// Each changing operation is atomic across crashes: its implementation documents what is on disk at each
// step, and what recovery does about it. All names are checked (catalog/trees/names.h). Errors are thrown as
// Error, with the errno that the manual's table of verbs gives.
class Store {
 public:
  // Opens (or creates) the store: takes the lock, opens or rebuilds the catalog, opens the backend, runs
  // recovery. Otherwise throws Error with a one-line message, and has changed nothing that a later opening
  // would miss. EBUSY with the PID if another daemon has it.
  static std::unique_ptr<Store> Open(const StoreOptions& options);
  // Called when the store is about to be served, before anybody can put anything into it. Without this call,
  // the destructor removes a store that this opening has created, and what was there before is unchanged. If
  // this throws Error, the store is not kept.
  void Keep();
  // A clean stop: waits for background work, merges the WAL, removes the lock file.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  Backend& backend() noexcept;
  StoreStatus Status() const;

  // The rows, read without any operation lock. A const Catalog cannot be changed.
  const Catalog& rows() const noexcept;

  // --- Workspaces ----------------------------------------------------------------------------
  // EEXIST, EINVAL (name), ENOSPC, EROFS. The root directory gets the given owner and mode. `from`: the
  // template, if the backend has templates; kDefaultTemplate if empty. ENOENT if there is no such template.
  WorkspaceRecord CreateWorkspace(const std::string& name, const RootAttributes& root,
                                  const std::string& from = {});
  // The same for an import, which fills it first.
  std::unique_ptr<PendingWorkspace> BeginWorkspace(const std::string& name);
  // ENOTEMPTY if it has snapshots. The caller, which serves the workspace, checks that it has no files.
  std::unique_ptr<PendingRemoval> BeginRemoval(int64_t workspace_id);
  // Removes it with all its snapshots and files. EBUSY, naming them, if some are pinned or still written to.
  std::unique_ptr<PendingForgetting> BeginForgetting(int64_t workspace_id);
  void RenameWorkspace(int64_t workspace_id, const std::string& new_name);  // EEXIST, EINVAL

  // --- Snapshots -----------------------------------------------------------------------------
  // EEXIST, EINVAL, ENOSPC, ETXTBSY (an active swap file); EIO if the live data is missing.
  std::unique_ptr<PendingCheckpoint> BeginCheckpoint(int64_t workspace_id,
                                                     const CheckpointRequest& request);
  // Records the open writers of a checkpoint. Finding them takes time, so this comes after the commit. Does
  // nothing if the checkpoint has been deleted since.
  void NoteOpenWriters(const SnapshotRecord& snapshot, const OpenWriterList& writers);
  // Deleted for good on return. EBUSY if pinned. Unless `force`: EIO if its data is missing, EBUSY if
  // programs are still writing to files that a rollback left open in it.
  void DeleteSnapshot(int64_t snapshot_id, bool force);
  // What happens to each checkpoint of a workspace, oldest first. Previous states kept by rollbacks are left
  // out: they have their own limit. Always kept: the newest, those that are pinned, missing or still written
  // to, and those that a live state derives from. EINVAL without a rule.
  std::vector<CleanupVerdict> PlanCleanup(const CleanupRequest& request) const;
  // Deletes it permanently. If it is protected, does nothing and returns the reasons.
  std::vector<std::string> RemoveUnprotected(int64_t snapshot_id);
  // An automatic cleanup of that workspace has ended (Catalog::CleanedNs). Not durable at once.
  void NoteCleanup(int64_t workspace_id);
  // Throws EROFS, with the reason.
  void RequireWritable(const std::string& attempted) const;
  void RenameSnapshot(int64_t snapshot_id, const std::string& new_name);  // EEXIST, EINVAL
  void SetMessage(int64_t snapshot_id, const std::string& message);       // EINVAL: not UTF-8, NUL
  void SetMetadata(int64_t snapshot_id, const Metadata& metadata);
  void SetPinned(int64_t snapshot_id, bool pinned);
  // Holds it by that tag, or releases that hold. ENOENT: there is none to release; EINVAL: no valid tag; ENOSPC:
  // there are kHoldsMax.
  void SetHold(int64_t snapshot_id, const std::string& tag, bool held);

  // Replaces the live state of a workspace. On return the new volume exists, and is still invisible. EIO if
  // the snapshot's data is missing, EBUSY if programs are writing to it.
  std::unique_ptr<PendingRollback> BeginRollback(const RollbackRequest& request);
  // Deletes the oldest state that a rollback of this workspace kept and that exceeds the limits in
  // StoreOptions, unless programs write to it. One per call: RollbackRetention calls it repeatedly, so that
  // other operations can run in between.
  UndoLimitStep LimitUndo(int64_t workspace_id);
  // The last program that went on writing to a kept state (PendingRollback) is gone, and none can come back:
  // makes the state read-only, soon. Does nothing if it has been deleted.
  void WritersGone(const VolumeId& kept);
  // True from the commit of such a rollback until WritersGone: what is read of the state after a "no" is final.
  // Takes no lock while there is no such state.
  bool IsInWriting(const VolumeId& kept) const;
  // A new workspace that starts as that snapshot. EEXIST, EINVAL, ENOSPC, EIO, EBUSY (in writing).
  WorkspaceRecord Fork(int64_t snapshot_id, const std::string& name);

  // --- Comparisons and sizes -----------------------------------------------------------------
  std::unique_ptr<PendingComparison> BeginComparison(const DiffRequest& request);
  // Whether a comparison of the live state with its parent snapshot shows changes, or there is no parent.
  // Writes out its data.
  ParentComparison BeginParentComparison(int64_t workspace_id);
  // Computed by this call.
  VolumeUsage SnapshotUsage(int64_t snapshot_id);

  // --- Templates (store_templates.cc) ---------------------------------------------------------
  // All except the first throw ENOTSUP if the backend has no templates.
  std::vector<TemplateInfo> ListTemplates() const;  // by name
  // What needs a template: names of workspaces, and "workspace/snapshot".
  std::vector<std::string> TemplateUsers(const TemplateId& id) const;
  // Each adds a template of that name, durable on return. EEXIST, EINVAL (name), ENOSPC, EROFS.
  TemplateInfo AddTemplateFromImage(const std::string& name,
                                    int image_fd);  // EINVAL: not a suitable image
  TemplateInfo AddTemplateFromSnapshot(const std::string& name, int64_t snapshot_id);  // EIO, EBUSY
  // An empty filesystem of that kind and size (default: the store's). `fill` gets its root directory.
  TemplateInfo AddTemplate(const std::string& name, const std::string& filesystem,
                           std::optional<uint64_t> size_bytes,
                           const std::function<void(int root_fd)>& fill);
  // ENOENT; EBUSY, with its users named.
  void RemoveTemplate(const std::string& name);

  // --- Settings ------------------------------------------------------------------------------
  // The settings in effect for that workspace; without one, for the store.
  Settings SettingsFor(std::optional<int64_t> workspace_id) const;
  // Sets it for the workspace or, without one, for the store; without a value, unsets it. Throws EINVAL.
  void SetSetting(std::optional<int64_t> workspace_id, const std::string& key,
                  const std::optional<std::string>& value);
  // Owner and mode of the mount root; the defaults are root and 0755.
  void SetMountRoot(const RootAttributes& root);

  // --- Space ---------------------------------------------------------------------------------
  // What somebody who takes space, or asks for the store's state, should know: one sentence for each place
  // that runs short.
  std::vector<std::string> SpaceWarnings() const;
  // Why changes fail (StorageFailure::kReadOnly) or have been lost. Quick, and always empty with -o ro.
  std::optional<StorageFailure> Failure() const;

  // Set by the server of the store: which view numbers programs may still see in files, even after a
  // deletion. Those are not reused meanwhile. It is called with locks held, and must not call the store.
  // Empty: none.
  void SetViewHolder(IsViewHeld is_held);

  // --- Health (store_health.cc) ---------------------------------------------------------------
  // Compares the store with health.snapshots and health.used. Logs what has changed since the last look.
  std::vector<HealthFinding> LookAtHealth();
  // What the last look has found.
  std::vector<HealthFinding> KnownHealth() const;

  // Marks a snapshot's data as missing (detected in use); logged once.
  void MarkMissing(int64_t snapshot_id);

  // Compares catalog, volumes and sidecars. With `repair` it repairs what it can without loss.
  FsckReport Fsck(bool repair);

  // Removes what nothing refers to, if it is older than ten minutes, of a kind that ckptfs makes, and not in
  // work; tells each item, unless `tell` is empty, until that returns false. A removal that fails is told, and
  // the rest goes on. Takes no operation lock: an operation that holds some may call it, but not with a
  // catalog transaction open. EROFS; EIO if the catalog's disk has failed.
  GarbageTotal CollectGarbage(const GarbageRequest& request, const TellGarbage& tell = {});

 private:
  class Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ckptfs
