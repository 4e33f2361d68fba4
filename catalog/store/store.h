// A store: catalog and backend together, and the operations that keep them in step.
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
#include "catalog/store/phases.h"

namespace ckptfs {

struct StoreOptions {
  std::string path;              // SOURCE, as the user gave it
  std::string backend = "auto";  // -o backend=
  BackendOptions backend_options;
  bool create = true;      // false: -o nocreate
  bool read_only = false;  // -o ro
  bool undo = true;        // -o undo=: keep the state before a rollback
  // -o undo_keep=, undo_keep_time=: of the states that rollbacks kept, the newest so many of each
  // workspace stay, and any that are younger. Pinned ones stay, and are not counted.
  size_t undo_keep = 10;
  std::chrono::nanoseconds undo_keep_time = std::chrono::hours(1);
};

// Facts of one opening of the store, for `ckpt status` and the log.
struct StoreStatus {
  std::string source;
  std::string backend_type;
  std::string backend_selection;
  int64_t backend_selected_at_ns = 0;
  bool clean_start = true;            // false: the last run did not end cleanly
  bool read_only = false;             // by option, or because recovery found it must be
  std::vector<std::string> warnings;  // one sentence each, with what to do
};

struct CheckpointRequest {
  std::string name;  // empty: ckpt-<UTC time>, made unique
  std::string message;
  Metadata metadata;
  bool pinned = false;
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
  // Takes a state that is still being written to (since an earlier rollback) as it is at this
  // moment, rather than to refuse. Not for an exchange.
  bool even_in_writing = false;
};

struct CleanupRequest {
  int64_t workspace_id = 0;
  KeepRules rules;
};

// What rules and protections say of one checkpoint.
struct CleanupVerdict {
  int64_t snapshot_id = 0;
  std::string name;
  bool keep = true;
  std::vector<std::string> reasons;  // for the one or the other
};

// What Store::LimitUndo did.
struct UndoLimitStep {
  std::optional<SnapshotRecord> deleted;
  // Nothing was deleted, but in so long there may be something; empty: there is nothing to wait for.
  std::optional<std::chrono::nanoseconds> wait = std::nullopt;
};

struct FsckReport {
  std::vector<std::string> problems;  // one line each; empty: all is right
  std::vector<std::string> repaired;  // what `repair` mended
};

// The store of one mount. Owns the lock, the catalog and the backend. Every function may be called
// by any thread; operations that change the same workspace, or its snapshots, come one after the
// other, in the order in which they were called (OperationLocks), and the others go on beside them.
//
// Each changing operation is atomic across crashes: what is on disk at each step, and what
// recovery makes of it, is written down beside its implementation. All names are checked
// (catalog/trees/names.h). Errors are thrown as Error, with the errno that the verb's table in the
// manual gives.
class Store {
 public:
  // Opens (or makes) the store: takes the lock, opens or rebuilds the catalog, opens the backend,
  // recovers. Throws Error with one clear line otherwise, having changed nothing that a later
  // opening would miss. EBUSY with the PID if another daemon has it.
  static std::unique_ptr<Store> Open(const StoreOptions& options);
  // To be called when the store is about to be served, before anybody can put anything into it: unless
  // it has been, one that this opening has made is taken away again at the end, and what was there
  // before is as it was. Throws Error, and then it is not kept.
  void Keep();
  // A clean stop: waits for background work, checkpoints the WAL, removes the lock file.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  Backend& backend() noexcept;
  StoreStatus Status() const;

  // What there is: rows, read without any lock of the operations. A Catalog that is const changes nothing.
  const Catalog& rows() const noexcept;

  // --- Workspaces ----------------------------------------------------------------------------
  // EEXIST, EINVAL (name), ENOSPC, EROFS. The root directory gets this owner and mode. `from` names the
  // template, where the backend has templates; kDefaultTemplate if it is empty. ENOENT if there is none.
  WorkspaceRecord CreateWorkspace(const std::string& name, const RootAttributes& root,
                                  const std::string& from = {});
  // The same for an import, which fills it first.
  std::unique_ptr<PendingWorkspace> BeginWorkspace(const std::string& name);
  // ENOTEMPTY if it has snapshots. Whether it has files is for who serves it to find out.
  std::unique_ptr<PendingRemoval> BeginRemoval(int64_t workspace_id);
  // With all its snapshots and files. EBUSY, naming them, if some are pinned; or still written to.
  std::unique_ptr<PendingForgetting> BeginForgetting(int64_t workspace_id);
  void RenameWorkspace(int64_t workspace_id, const std::string& new_name);  // EEXIST, EINVAL

  // --- Snapshots -----------------------------------------------------------------------------
  // EEXIST, EINVAL, ENOSPC, ETXTBSY (a swap file is in use); EIO if the live data is missing.
  std::unique_ptr<PendingCheckpoint> BeginCheckpoint(int64_t workspace_id,
                                                     const CheckpointRequest& request);
  // Who had files open for writing at a checkpoint, which takes time to find out: after it has been committed.
  // Nothing happens if it has been deleted since.
  void NoteOpenWriters(const SnapshotRecord& snapshot, const OpenWriterList& writers);
  // Deleted for good on return. EBUSY if pinned; unless `force`, EIO if its data is missing, EBUSY
  // if a rollback left open files in it and programs go on writing to those.
  void DeleteSnapshot(int64_t snapshot_id, bool force);
  // What becomes of each checkpoint of a workspace, oldest first. States that rollbacks kept are left out: they have
  // a limit of their own. Kept in any case are: the newest, what is pinned, missing or still written to, and what a
  // live state derives from. EINVAL without a rule.
  std::vector<CleanupVerdict> PlanCleanup(const CleanupRequest& request) const;
  // Deletes it for good, unless it is to be kept in any case: then nothing happens, and the reasons are returned.
  std::vector<std::string> RemoveUnprotected(int64_t snapshot_id);
  // Throws EROFS.
  void RequireWritable(const std::string& attempted) const;
  void RenameSnapshot(int64_t snapshot_id, const std::string& new_name);  // EEXIST, EINVAL
  void SetMessage(int64_t snapshot_id, const std::string& message);       // EINVAL: not UTF-8, NUL
  void SetMetadata(int64_t snapshot_id, const Metadata& metadata);
  void SetPinned(int64_t snapshot_id, bool pinned);

  // Replaces the live state of a workspace. The new one has been made on return, seen by nobody.
  // EIO if the snapshot's data is missing, EBUSY if it is being written to.
  std::unique_ptr<PendingRollback> BeginRollback(const RollbackRequest& request);
  // Deletes the oldest state that rollbacks of this workspace kept and StoreOptions no longer keep,
  // if there is one that nobody writes to. For RollbackRetention, which calls it again and again, so that
  // other operations come in between.
  UndoLimitStep LimitUndo(int64_t workspace_id);
  // Of those who went on writing to a kept state (PendingRollback) the last one is gone, and
  // nobody can come back: it is made read-only, soon. Nothing happens if it has been deleted.
  void WritersGone(const VolumeId& kept);
  // A new workspace that starts as that snapshot. EEXIST, EINVAL, ENOSPC, EIO, EBUSY (in writing).
  WorkspaceRecord Fork(int64_t snapshot_id, const std::string& name);

  // --- Comparisons and sizes -----------------------------------------------------------------
  std::unique_ptr<PendingComparison> BeginComparison(const DiffRequest& request);
  // Whether the live state differs from its parent snapshot in what a comparison tells of, or has none.
  // Syncs the volume.
  ParentComparison BeginParentComparison(int64_t workspace_id);
  // Computed now.
  VolumeUsage SnapshotUsage(int64_t snapshot_id);

  // --- Templates (store_templates.cc) ---------------------------------------------------------
  // All but the first throw ENOTSUP where the backend has none.
  std::vector<TemplateInfo> ListTemplates() const;  // by name
  // Who needs a template: names of workspaces, and "workspace/snapshot".
  std::vector<std::string> TemplateUsers(const TemplateId& id) const;
  // Each adds one of that name, durable on return. EEXIST, EINVAL (name), ENOSPC, EROFS.
  TemplateInfo AddTemplateFromImage(const std::string& name,
                                    int image_fd);  // EINVAL: no such image
  TemplateInfo AddTemplateFromSnapshot(const std::string& name, int64_t snapshot_id);  // EIO, EBUSY
  // An empty filesystem of that kind and size (the store's default if it is not said), which `fill` is
  // given the root directory of.
  TemplateInfo AddTemplate(const std::string& name, const std::string& filesystem,
                           std::optional<uint64_t> size_bytes,
                           const std::function<void(int root_fd)>& fill);
  // ENOENT; EBUSY, with its users named.
  void RemoveTemplate(const std::string& name);

  // --- Small settings ------------------------------------------------------------------------
  // What holds for that workspace; without one, for the store.
  Settings SettingsFor(std::optional<int64_t> workspace_id) const;
  // Sets it for the workspace, or, without one, for the store; without a value it is not set any more. EINVAL.
  void SetSetting(std::optional<int64_t> workspace_id, const std::string& key,
                  const std::optional<std::string>& value);
  // Owner and mode of the mount root, 0755 and root until then.
  void SetMountRoot(const RootAttributes& root);

  // Whoever serves the store says here which view numbers he has told of files that somebody may still
  // have, which outlives a deletion; they are not given again meanwhile. It is called with locks held, and
  // must call nothing here. Empty: none.
  void SetViewHolder(IsViewHeld is_held);

  // Marks a snapshot's data as missing (found out while in use); logged once.
  void MarkMissing(int64_t snapshot_id);

  // Compares catalog, volumes and sidecars. With `repair` mends what can be mended without loss.
  FsckReport Fsck(bool repair);

 private:
  class Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ckptfs
