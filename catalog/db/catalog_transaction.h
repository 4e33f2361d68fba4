// Transactions on the catalog.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/mutex.h"
#include "catalog/db/catalog.h"

namespace ckptfs {

// One transaction. Takes effect when Commit returns; without Commit it is rolled back. Holds the catalog's
// write mutex for its lifetime. Used by one thread.
class Catalog::Transaction {
 public:
  // Throws EIO after a failed Flush.
  explicit Transaction(Catalog& catalog, Durability durability = Durability::kAtOnce);

  // Returns the row's id: the record's, or a new one if that is 0. EEXIST if name, volume or view is taken.
  int64_t Insert(const WorkspaceRecord& workspace);
  int64_t Insert(const SnapshotRecord& snapshot);

  // The snapshot from which the live tree derives, as this transaction sees it.
  std::optional<int64_t> LiveParent(int64_t workspace_id);
  void SetLive(int64_t workspace_id, const VolumeId& volume, std::optional<int64_t> parent_id,
               uint64_t parent_marker);
  void RenameWorkspace(int64_t id, const std::string& name);
  void DeleteWorkspace(int64_t id);

  // Deletes workspaces, snapshots and tombstones. References are checked at the commit.
  void DeleteAllRows();

  // Whatever has this snapshot as its parent gets the snapshot's parent instead, as this transaction sees it:
  // children and parent may belong to other workspaces, whose snapshots may be deleted concurrently. Returns
  // the volumes of the children, whose sidecars are stale after the commit.
  std::vector<VolumeId> DeleteSnapshot(int64_t id);
  void RenameSnapshot(int64_t id, const std::string& name);
  void SetMessage(int64_t id, const std::string& message);
  void SetMetadata(int64_t id, const std::string& json);
  void SetPinned(int64_t id, bool pinned);
  void SetHolds(int64_t id, const std::vector<std::string>& holds);
  void SetState(int64_t id, SnapshotState state);
  void SetParent(int64_t id, std::optional<int64_t> parent_id);
  // Deleted together with the snapshot. Once per snapshot, with at most kRecordedWritersMax names.
  void SetOpenWriters(int64_t id, const OpenWriterList& writers);
  // Writes everything of `snapshot`, except parent and state, to the row with its id.
  void Update(const SnapshotRecord& snapshot);
  // Marks the workspace's list of snapshots as changed.
  void TouchSnapshots(int64_t workspace_id, int64_t now_ns);

  // `view`: the volume's number, which is not reused before DropTombstone: until then, a power failure may
  // bring volume and sidecar back. Empty: the volume has none.
  void AddTombstone(const VolumeId& volume, std::optional<uint64_t> view, int64_t now_ns);
  void DropTombstone(const VolumeId& volume);

  // EEXIST if the name is taken.
  void Insert(const TemplateInfo& info);
  void DeleteTemplate(const TemplateId& id);

  // An automatic cleanup has ended.
  void SetCleaned(int64_t workspace_id, int64_t now_ns);

  // Sets it for a workspace or, without one, for the store. A workspace's settings are deleted with it.
  void SetSetting(std::optional<int64_t> workspace_id, const std::string& key,
                  const std::optional<std::string>& value);  // empty: unset
  void ReplaceSettings(std::optional<int64_t> workspace_id, const SettingMap& settings);

  void SetMountRoot(const RootAttributes& root);
  void SetGeneration(uint64_t generation);

  // Commits and returns the store's new generation.
  uint64_t Commit();
  // For changes that recovery would repeat, or that the store can do without: the generation stays the same.
  void CommitUncounted();

 private:
  void End(bool has_changes);
  void NoteGiven(uint64_t view);

  const HeldLock lock_;
  Catalog& catalog_;
  Database& database_;
  std::optional<DatabaseTransaction> transaction_;
  bool releases_views_ = false;
};

}  // namespace ckptfs
