// Transactions on the catalog.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "catalog/db/catalog.h"

namespace ckptfs {

// One transaction. Nothing has happened until Commit returns; without it all is undone. Holds the
// catalog's write mutex while it lives. Not for sharing between threads.
class Catalog::Transaction {
 public:
  // Throws EIO after a Flush that failed.
  explicit Transaction(Catalog& catalog, Durability durability = Durability::kAtOnce);

  // Returns the row's id: the record's, or a new one if that is 0. EEXIST if name, volume or view is
  // taken.
  int64_t Insert(const WorkspaceRecord& workspace);
  int64_t Insert(const SnapshotRecord& snapshot);

  // The snapshot that the live tree derives from, as it is in this transaction.
  std::optional<int64_t> LiveParent(int64_t workspace_id);
  void SetLive(int64_t workspace_id, const VolumeId& volume, std::optional<int64_t> parent_id,
               uint64_t parent_marker);
  void RenameWorkspace(int64_t id, const std::string& name);
  void DeleteWorkspace(int64_t id);

  // Workspaces, snapshots and tombstones. References are verified at the commit.
  void DeleteAllRows();

  // Whatever has this snapshot as its parent gets its parent instead, as that is in this transaction: children
  // and parent may be another workspace's, of which others delete snapshots meanwhile. Returns the volumes
  // of the children, whose sidecars are out of date with the commit.
  std::vector<VolumeId> DeleteSnapshot(int64_t id);
  void RenameSnapshot(int64_t id, const std::string& name);
  void SetMessage(int64_t id, const std::string& message);
  void SetMetadata(int64_t id, const std::string& json);
  void SetPinned(int64_t id, bool pinned);
  void SetState(int64_t id, SnapshotState state);
  void SetParent(int64_t id, std::optional<int64_t> parent_id);
  // Goes with the snapshot. Once for each; not more than kRecordedWritersMax names.
  void SetOpenWriters(int64_t id, const OpenWriterList& writers);
  // Everything of `snapshot` into the row with its id, but for parent and state.
  void Update(const SnapshotRecord& snapshot);
  // The workspace's list of snapshots is another one from now on.
  void TouchSnapshots(int64_t workspace_id, int64_t now_ns);

  // `view`: the number that goes with the volume, and is not given again before DropTombstone: until
  // then a power cut may bring volume and sidecar back. Empty: none does.
  void AddTombstone(const VolumeId& volume, std::optional<uint64_t> view, int64_t now_ns);
  void DropTombstone(const VolumeId& volume);

  // EEXIST if the name is taken.
  void Insert(const TemplateInfo& info);
  void DeleteTemplate(const TemplateId& id);

  // Of a workspace, or, without one, of the store. They go with the workspace.
  void SetSetting(std::optional<int64_t> workspace_id, const std::string& key,
                  const std::optional<std::string>& value);  // empty: unset
  void ReplaceSettings(std::optional<int64_t> workspace_id, const SettingMap& settings);

  void SetMountRoot(const RootAttributes& root);
  void SetGeneration(uint64_t generation);

  // Commits and returns the store's new generation.
  uint64_t Commit();
  // For what recovery would find again by itself, or the store is as good without: the generation stays.
  void CommitUncounted();

 private:
  void End(bool has_changes);
  void NoteGiven(uint64_t view);

  std::lock_guard<std::mutex> lock_;
  Catalog& catalog_;
  Database& database_;
  std::optional<DatabaseTransaction> transaction_;
  bool releases_views_ = false;
};

}  // namespace ckptfs
