#include "catalog/db/catalog_transaction.h"

#include <algorithm>
#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

// The column `holds` (kVersion8 in schema.cc).
std::string StoredHolds(const std::vector<std::string>& holds) {
  std::string text;
  for (const std::string& tag : holds) text += tag + '\n';
  return text;
}

// The column `kind`, which does not distinguish checkpoints (kVersion8 in schema.cc).
const char* StoredKind(const SnapshotRecord& snapshot) {
  return ToString(IsCheckpoint(snapshot.kind) ? SnapshotKind::kManual : snapshot.kind);
}

}  // namespace

Catalog::Transaction::Transaction(Catalog& catalog, Durability durability)
    : lock_(catalog.write_mutex_), catalog_(catalog), database_(catalog.writer_) {
  if (catalog.flush_failed_) {
    throw Error(EIO, "change catalog.db", "the disk has lost changes to it",
                "See to the disk that the store is on, unmount, and mount again");
  }
  catalog.SetDurability(durability);
  transaction_.emplace(database_);
}

// A transaction without changes is not written, and does not flush those before it.
void Catalog::Transaction::End(bool has_changes) {
  try {
    transaction_->Commit();
  } catch (const Error&) {
    const bool may_be_written = database_.SyncFailed();
    transaction_.reset();
    if (may_be_written) catalog_.TakeBack();
    throw;
  }
  if (releases_views_) catalog_.ViewsReleased();
  if (catalog_.durability_ != Durability::kAtOnce) {
    catalog_.unflushed_ = true;
  } else if (has_changes) {
    catalog_.unflushed_ = false;
  }
}

int64_t Catalog::Transaction::Insert(const WorkspaceRecord& workspace) {
  database_.Run(
      "INSERT INTO workspace (id, name, volume, created_ns, view, parent_id, parent_marker, "
      "snapshots_changed_ns) VALUES (nullif(?, 0), ?, ?, ?, ?, ?, ?, ?)",
      workspace.id, workspace.name, workspace.volume, workspace.created_ns, workspace.view,
      workspace.parent_id, workspace.parent_marker, workspace.created_ns);
  const int64_t id = database_.LastInsertId();
  NoteGiven(workspace.view);
  return id;
}

int64_t Catalog::Transaction::Insert(const SnapshotRecord& snapshot) {
  database_.Run(
      "INSERT INTO snapshot (id, uuid, workspace_id, name, volume, created_ns, message, metadata, "
      "pinned, parent_id, kind, missing, view, root_mode, root_uid, root_gid, root_acl, "
      "root_xattr_names, unlinked_open, moment, moment_reason, scheduled, holds) "
      "VALUES (nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      snapshot.id, snapshot.uuid, snapshot.workspace_id, snapshot.name, snapshot.volume,
      snapshot.created_ns, snapshot.message, snapshot.metadata, snapshot.pinned, snapshot.parent_id,
      StoredKind(snapshot), snapshot.state == SnapshotState::kMissing, snapshot.view,
      snapshot.root.mode, snapshot.root.uid, snapshot.root.gid, Blob{snapshot.root.acl},
      Blob{snapshot.root.xattr_names}, snapshot.unlinked_open, ToString(snapshot.moment),
      snapshot.moment_reason, snapshot.kind == SnapshotKind::kScheduled,
      StoredHolds(snapshot.holds));
  const int64_t id = database_.LastInsertId();
  NoteGiven(snapshot.view);
  return id;
}

void Catalog::Transaction::Insert(const TemplateInfo& info) {
  database_.Run(
      "INSERT INTO template (uuid, name, created_ns, filesystem, size_bytes, inode, sha256) "
      "VALUES (?, ?, ?, ?, ?, ?, ?)",
      info.id, info.label, info.created_ns, info.filesystem, info.size_bytes, info.inode,
      info.sha256);
}

void Catalog::Transaction::DeleteTemplate(const TemplateId& id) {
  database_.Run("DELETE FROM template WHERE uuid = ?", id);
}

std::optional<int64_t> Catalog::Transaction::LiveParent(int64_t workspace_id) {
  Statement row = database_.Query("SELECT parent_id FROM workspace WHERE id = ?", workspace_id);
  return row.Step() ? row.OptionalInt(0) : std::nullopt;
}

void Catalog::Transaction::SetLive(int64_t workspace_id, const VolumeId& volume,
                                   std::optional<int64_t> parent_id, uint64_t parent_marker) {
  database_.Run("UPDATE workspace SET volume = ?, parent_id = ?, parent_marker = ? WHERE id = ?",
                volume, parent_id, parent_marker, workspace_id);
}

void Catalog::Transaction::RenameWorkspace(int64_t id, const std::string& name) {
  database_.Run("UPDATE workspace SET name = ? WHERE id = ?", name, id);
}

void Catalog::Transaction::DeleteWorkspace(int64_t id) {
  releases_views_ = true;
  database_.Run("DELETE FROM workspace WHERE id = ?", id);
}

void Catalog::Transaction::DeleteAllRows() {
  releases_views_ = true;
  database_.Run("PRAGMA defer_foreign_keys = ON");  // until the end of this transaction
  database_.Run("DELETE FROM tombstone");
  database_.Run("DELETE FROM snapshot");
  database_.Run("DELETE FROM workspace");
}

std::vector<VolumeId> Catalog::Transaction::DeleteSnapshot(int64_t id) {
  releases_views_ = true;
  std::vector<VolumeId> children;
  {
    Statement row = database_.Query(
        "SELECT volume FROM snapshot WHERE parent_id = ?1 "
        "UNION ALL SELECT volume FROM workspace WHERE parent_id = ?1",
        id);
    while (row.Step()) children.push_back(row.Id(0));
  }
  database_.Run(
      "UPDATE snapshot SET parent_id = (SELECT parent_id FROM snapshot WHERE id = ?1) "
      "WHERE parent_id = ?1",
      id);
  // The live tree's marker said "equal to the deleted snapshot". It says nothing about that snapshot's
  // parent: 0 stands for "not known to be equal".
  database_.Run(
      "UPDATE workspace SET parent_id = (SELECT parent_id FROM snapshot WHERE id = ?1), "
      "parent_marker = 0 WHERE parent_id = ?1",
      id);
  database_.Run("DELETE FROM snapshot WHERE id = ?", id);
  return children;
}

void Catalog::Transaction::RenameSnapshot(int64_t id, const std::string& name) {
  database_.Run("UPDATE snapshot SET name = ? WHERE id = ?", name, id);
}

void Catalog::Transaction::SetMessage(int64_t id, const std::string& message) {
  database_.Run("UPDATE snapshot SET message = ? WHERE id = ?", message, id);
}

void Catalog::Transaction::SetMetadata(int64_t id, const std::string& json) {
  database_.Run("UPDATE snapshot SET metadata = ? WHERE id = ?", json, id);
}

void Catalog::Transaction::SetPinned(int64_t id, bool pinned) {
  database_.Run("UPDATE snapshot SET pinned = ? WHERE id = ?", pinned, id);
}

void Catalog::Transaction::SetHolds(int64_t id, const std::vector<std::string>& holds) {
  database_.Run("UPDATE snapshot SET holds = ? WHERE id = ?", StoredHolds(holds), id);
}

void Catalog::Transaction::SetState(int64_t id, SnapshotState state) {
  database_.Run("UPDATE snapshot SET missing = ? WHERE id = ?", state == SnapshotState::kMissing,
                id);
}

void Catalog::Transaction::SetParent(int64_t id, std::optional<int64_t> parent_id) {
  database_.Run("UPDATE snapshot SET parent_id = ? WHERE id = ?", parent_id, id);
}

void Catalog::Transaction::SetOpenWriters(int64_t id, const OpenWriterList& writers) {
  database_.Run("UPDATE snapshot SET open_writers = ? WHERE id = ?", writers.total, id);
  for (size_t i = 0; i < writers.named.size(); ++i) {
    const OpenWriter& writer = writers.named[i];
    database_.Run(
        "INSERT INTO open_writer (snapshot_id, position, path, pid, command) "
        "VALUES (?, ?, ?, ?, ?)",
        id, i, Blob{writer.path}, writer.pid, Blob{writer.command});
  }
}

void Catalog::Transaction::Update(const SnapshotRecord& snapshot) {
  releases_views_ = true;
  database_.Run(
      "UPDATE snapshot SET uuid = ?, name = ?, volume = ?, created_ns = ?, message = ?, "
      "metadata = ?, pinned = ?, kind = ?, view = ?, root_mode = ?, root_uid = ?, root_gid = ?, "
      "root_acl = ?, root_xattr_names = ?, unlinked_open = ?, moment = ?, moment_reason = ?, "
      "scheduled = ?, holds = ? WHERE id = ?",
      snapshot.uuid, snapshot.name, snapshot.volume, snapshot.created_ns, snapshot.message,
      snapshot.metadata, snapshot.pinned, StoredKind(snapshot), snapshot.view, snapshot.root.mode,
      snapshot.root.uid, snapshot.root.gid, Blob{snapshot.root.acl},
      Blob{snapshot.root.xattr_names}, snapshot.unlinked_open, ToString(snapshot.moment),
      snapshot.moment_reason, snapshot.kind == SnapshotKind::kScheduled,
      StoredHolds(snapshot.holds), snapshot.id);
  NoteGiven(snapshot.view);
}

void Catalog::Transaction::SetCleaned(int64_t workspace_id, int64_t now_ns) {
  database_.Run("UPDATE workspace SET cleaned_ns = ? WHERE id = ?", now_ns, workspace_id);
}

void Catalog::Transaction::TouchSnapshots(int64_t workspace_id, int64_t now_ns) {
  // Strictly increasing: a caller that has cached the list sees by this that it has changed.
  database_.Run(
      "UPDATE workspace SET snapshots_changed_ns = max(?, snapshots_changed_ns + 1) WHERE id = ?",
      now_ns, workspace_id);
}

void Catalog::Transaction::AddTombstone(const VolumeId& volume, std::optional<uint64_t> view,
                                        int64_t now_ns) {
  const std::optional<int64_t> number =
      view ? std::optional(static_cast<int64_t>(*view)) : std::nullopt;
  database_.Run("INSERT OR IGNORE INTO tombstone (volume, since_ns, view) VALUES (?, ?, ?)", volume,
                now_ns, number);
}

void Catalog::Transaction::DropTombstone(const VolumeId& volume) {
  releases_views_ = true;
  database_.Run("DELETE FROM tombstone WHERE volume = ?", volume);
}

void Catalog::Transaction::SetMountRoot(const RootAttributes& root) {
  database_.Run("UPDATE store SET root_mode = ?, root_uid = ?, root_gid = ?, root_acl = ?",
                root.mode, root.uid, root.gid, Blob{root.acl});
}

void Catalog::Transaction::SetGeneration(uint64_t generation) {
  database_.Run("UPDATE store SET generation = ?", generation);
}

uint64_t Catalog::Transaction::Commit() {
  database_.Run("UPDATE store SET generation = generation + 1");
  uint64_t generation = 0;
  {
    Statement row = database_.Query("SELECT generation FROM store");
    if (row.Step()) generation = static_cast<uint64_t>(row.Int(0));
  }
  End(/*has_changes=*/true);
  return generation;
}

void Catalog::Transaction::CommitUncounted() { End(/*has_changes=*/false); }

}  // namespace ckptfs
