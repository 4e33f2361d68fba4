// Reads from the catalog.
#include <iterator>
#include <limits>

#include "catalog/db/catalog.h"
#include "catalog/db/row_check.h"

namespace ckptfs {
namespace {

// The columns of a workspace, in the order in which ReadWorkspace takes them.
#define CKPTFS_SELECT_WORKSPACE                                          \
  "SELECT id, name, volume, created_ns, view, parent_id, parent_marker " \
  "FROM workspace "

WorkspaceRecord ReadWorkspace(const Statement& row) {
  WorkspaceRecord record;
  record.id = row.Int(0);
  record.name = row.Text(1);
  record.volume = row.Id(2);
  record.created_ns = row.Int(3);
  record.view = static_cast<uint64_t>(row.Int(4));
  record.parent_id = row.OptionalInt(5);
  record.parent_marker = static_cast<uint64_t>(row.Int(6));
  RequireSound(record);
  return record;
}

// The columns of a snapshot, in the order in which ReadSnapshot takes them.
#define CKPTFS_SELECT_SNAPSHOT                                                          \
  "SELECT s.id, s.uuid, s.workspace_id, s.name, s.volume, s.created_ns, s.message, "    \
  "s.metadata, s.pinned, s.parent_id, p.name, s.kind, s.missing, s.view, s.root_mode, " \
  "s.root_uid, s.root_gid, s.root_acl, s.unlinked_open, s.root_xattr_names, s.moment, " \
  "s.moment_reason, s.scheduled, s.holds "                                              \
  "FROM snapshot AS s LEFT JOIN snapshot AS p ON p.id = s.parent_id "

std::vector<std::string> LinesOf(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

SnapshotRecord ReadSnapshot(const Statement& row) {
  SnapshotRecord record;
  record.id = row.Int(0);
  record.uuid = row.Id(1);
  record.workspace_id = row.Int(2);
  record.name = row.Text(3);
  record.volume = row.Id(4);
  record.created_ns = row.Int(5);
  record.message = row.Text(6);
  record.metadata = row.Text(7);
  record.pinned = row.Int(8) != 0;
  record.parent_id = row.OptionalInt(9);
  record.parent_name = row.Text(10);
  record.kind = row.Int(22) != 0 ? SnapshotKind::kScheduled : KindFrom(row.Text(11));
  record.state = row.Int(12) != 0 ? SnapshotState::kMissing : SnapshotState::kOk;
  record.view = static_cast<uint64_t>(row.Int(13));
  record.root.mode = static_cast<mode_t>(row.Int(14));
  record.root.uid = static_cast<uid_t>(row.Int(15));
  record.root.gid = static_cast<gid_t>(row.Int(16));
  record.root.acl = row.Text(17);
  record.unlinked_open = row.Int(18);
  record.root.xattr_names = row.Text(19);
  record.moment = MomentFrom(row.Text(20));
  record.moment_reason = row.Text(21);
  record.holds = LinesOf(row.Text(23));
  RequireSound(record);
  return record;
}

// The columns of a template, in the order in which ReadTemplate takes them.
#define CKPTFS_SELECT_TEMPLATE \
  "SELECT uuid, name, created_ns, filesystem, size_bytes, inode, sha256 FROM template "

TemplateInfo ReadTemplate(const Statement& row) {
  TemplateInfo info{.id = row.Id(0),
                    .label = row.Text(1),
                    .created_ns = row.Int(2),
                    .filesystem = row.Text(3),
                    .size_bytes = static_cast<uint64_t>(row.Int(4)),
                    .inode = static_cast<uint64_t>(row.Int(5)),
                    .sha256 = row.Text(6)};
  RequireSoundName("template", info.label);
  return info;
}

std::optional<WorkspaceRecord> OneWorkspace(Statement statement) {
  if (!statement.Step()) return std::nullopt;
  return ReadWorkspace(statement);
}

std::optional<SnapshotRecord> OneSnapshot(Statement statement) {
  if (!statement.Step()) return std::nullopt;
  return ReadSnapshot(statement);
}

std::vector<SnapshotRecord> AllSnapshots(Statement statement) {
  std::vector<SnapshotRecord> records;
  while (statement.Step()) records.push_back(ReadSnapshot(statement));
  return records;
}

// Bytes of texts and the like, which users choose.
size_t BytesOf(const SnapshotRecord& record) {
  return record.message.size() + record.metadata.size() + record.root.acl.size() +
         record.root.xattr_names.size();
}

// SQLite's integrity reports have several lines.

}  // namespace

std::vector<WorkspaceRecord> Catalog::ListWorkspaces() const {
  const MutexLock lock(read_mutex_);
  std::vector<WorkspaceRecord> records;
  Statement rows = reader_.Query(CKPTFS_SELECT_WORKSPACE "ORDER BY name");
  while (rows.Step()) records.push_back(ReadWorkspace(rows));
  return records;
}

std::optional<WorkspaceRecord> Catalog::FindWorkspace(const std::string& name) const {
  const MutexLock lock(read_mutex_);
  return OneWorkspace(reader_.Query(CKPTFS_SELECT_WORKSPACE "WHERE name = ?", name));
}

std::optional<WorkspaceRecord> Catalog::FindWorkspace(int64_t id) const {
  const MutexLock lock(read_mutex_);
  return OneWorkspace(reader_.Query(CKPTFS_SELECT_WORKSPACE "WHERE id = ?", id));
}

std::optional<WorkspaceRecord> Catalog::FindWorkspaceByVolume(const VolumeId& volume) const {
  const MutexLock lock(read_mutex_);
  return OneWorkspace(reader_.Query(CKPTFS_SELECT_WORKSPACE "WHERE volume = ?", volume));
}

std::optional<WorkspaceRecord> Catalog::FindWorkspaceByView(uint64_t view,
                                                            int64_t created_ns) const {
  const MutexLock lock(read_mutex_);
  return OneWorkspace(
      reader_.Query(CKPTFS_SELECT_WORKSPACE "WHERE view = ? AND created_ns = ?", view, created_ns));
}

int64_t Catalog::SnapshotsChangedNs(int64_t workspace_id) const {
  const MutexLock lock(read_mutex_);
  Statement row =
      reader_.Query("SELECT snapshots_changed_ns FROM workspace WHERE id = ?", workspace_id);
  return row.Step() ? row.Int(0) : 0;
}

std::vector<SnapshotRecord> Catalog::ListSnapshots(int64_t workspace_id, int64_t after_id,
                                                   size_t limit) const {
  // A caller that lists very many rows blocks the connection for no longer than this many take.
  constexpr size_t kAtOnce = 64;
  std::vector<SnapshotRecord> all;
  for (size_t bytes = 0; all.size() < limit && (limit == SIZE_MAX || bytes < kPageBytesMax);) {
    const size_t wanted = std::min(kAtOnce, limit - all.size());
    std::vector<SnapshotRecord> some = SnapshotsBehind(workspace_id, after_id, wanted);
    if (some.empty()) break;
    after_id = some.back().id;
    for (const SnapshotRecord& record : some) bytes += BytesOf(record);
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  return all;
}

std::vector<SnapshotRecord> Catalog::SnapshotsBehind(int64_t workspace_id, int64_t id,
                                                     size_t limit) const {
  const MutexLock lock(read_mutex_);
  Statement statement = reader_.Query(CKPTFS_SELECT_SNAPSHOT
                                      "WHERE s.workspace_id = ? AND s.id > ? ORDER BY s.id LIMIT ?",
                                      workspace_id, id, limit);
  std::vector<SnapshotRecord> records;
  for (size_t bytes = 0; bytes < kPageBytesMax && statement.Step();) {
    records.push_back(ReadSnapshot(statement));
    bytes += BytesOf(records.back());
  }
  return records;
}

std::vector<SnapshotRecord> Catalog::ListAllSnapshots() const {
  const MutexLock lock(read_mutex_);
  return AllSnapshots(reader_.Query(CKPTFS_SELECT_SNAPSHOT "ORDER BY s.id"));
}

std::vector<SnapshotVolume> Catalog::ListSnapshotVolumes() const {
  const MutexLock lock(read_mutex_);
  std::vector<SnapshotVolume> volumes;
  Statement rows = reader_.Query(
      "SELECT id, workspace_id, name, volume, view, missing FROM snapshot ORDER BY id");
  while (rows.Step()) {
    volumes.push_back({.id = rows.Int(0),
                       .workspace_id = rows.Int(1),
                       .name = rows.Text(2),
                       .volume = rows.Id(3),
                       .view = static_cast<uint64_t>(rows.Int(4)),
                       .state = rows.Int(5) != 0 ? SnapshotState::kMissing : SnapshotState::kOk});
  }
  return volumes;
}

std::optional<SnapshotRecord> Catalog::FindSnapshot(int64_t workspace_id,
                                                    const std::string& name) const {
  const MutexLock lock(read_mutex_);
  return OneSnapshot(reader_.Query(CKPTFS_SELECT_SNAPSHOT "WHERE s.workspace_id = ? AND s.name = ?",
                                   workspace_id, name));
}

std::optional<SnapshotRecord> Catalog::FindSnapshot(int64_t id) const {
  const MutexLock lock(read_mutex_);
  return OneSnapshot(reader_.Query(CKPTFS_SELECT_SNAPSHOT "WHERE s.id = ?", id));
}

std::optional<SnapshotRecord> Catalog::FindSnapshot(const Uuid& uuid) const {
  const MutexLock lock(read_mutex_);
  return OneSnapshot(reader_.Query(CKPTFS_SELECT_SNAPSHOT "WHERE s.uuid = ?", uuid));
}

std::optional<SnapshotRecord> Catalog::FindSnapshotByVolume(const VolumeId& volume) const {
  const MutexLock lock(read_mutex_);
  return OneSnapshot(reader_.Query(CKPTFS_SELECT_SNAPSHOT "WHERE s.volume = ?", volume));
}

Uuid Catalog::SnapshotUuid(int64_t id) const {
  const MutexLock lock(read_mutex_);
  Statement row = reader_.Query("SELECT uuid FROM snapshot WHERE id = ?", id);
  return row.Step() ? row.Id(0) : Uuid();
}

std::optional<SnapshotRecord> Catalog::NewestSnapshot(int64_t workspace_id) const {
  const MutexLock lock(read_mutex_);
  return OneSnapshot(reader_.Query(
      CKPTFS_SELECT_SNAPSHOT "WHERE s.workspace_id = ? ORDER BY s.id DESC LIMIT 1", workspace_id));
}

std::optional<SnapshotRecord> Catalog::NewestCheckpoint(int64_t workspace_id, uint64_t n) const {
  if (n == 0) return std::nullopt;
  const uint64_t newer = std::min<uint64_t>(n - 1, std::numeric_limits<int64_t>::max());
  const MutexLock lock(read_mutex_);
  // The same condition as that of index snapshot_checkpoint, verbatim: SQLite uses the index only then.
  return OneSnapshot(reader_.Query(CKPTFS_SELECT_SNAPSHOT
                                   "WHERE s.workspace_id = ? AND s.kind = 'manual' "
                                   "ORDER BY s.id DESC LIMIT 1 OFFSET ?",
                                   workspace_id, newer));
}

int64_t Catalog::CleanedNs(int64_t workspace_id) const {
  const MutexLock lock(read_mutex_);
  Statement row = reader_.Query("SELECT cleaned_ns FROM workspace WHERE id = ?", workspace_id);
  return row.Step() ? row.Int(0) : 0;
}

uint64_t Catalog::CountSnapshots(int64_t workspace_id) const {
  const MutexLock lock(read_mutex_);
  Statement row =
      reader_.Query("SELECT count(*) FROM snapshot WHERE workspace_id = ?", workspace_id);
  return row.Step() ? static_cast<uint64_t>(row.Int(0)) : 0;
}

uint64_t Catalog::CountCheckpoints(int64_t workspace_id) const {
  const MutexLock lock(read_mutex_);
  Statement row = reader_.Query(
      "SELECT count(*) FROM snapshot WHERE workspace_id = ? AND kind = 'manual'", workspace_id);
  return row.Step() ? static_cast<uint64_t>(row.Int(0)) : 0;
}

int64_t Catalog::LargestSnapshotId(int64_t workspace_id) const {
  const MutexLock lock(read_mutex_);
  Statement row =
      reader_.Query("SELECT max(id) FROM snapshot WHERE workspace_id = ?", workspace_id);
  return row.Step() ? row.Int(0) : 0;
}

std::optional<OpenWriterList> Catalog::OpenWriters(int64_t snapshot_id) const {
  const MutexLock lock(read_mutex_);
  OpenWriterList writers;
  {
    Statement row = reader_.Query("SELECT open_writers FROM snapshot WHERE id = ?", snapshot_id);
    if (!row.Step() || row.IsNull(0)) return std::nullopt;
    writers.total = static_cast<uint64_t>(row.Int(0));
  }
  Statement rows = reader_.Query(
      "SELECT path, pid, command FROM open_writer WHERE snapshot_id = ? ORDER BY position LIMIT ?",
      snapshot_id, kRecordedWritersMax);
  while (rows.Step()) {
    writers.named.push_back(
        {.pid = static_cast<pid_t>(rows.Int(1)), .command = rows.Text(2), .path = rows.Text(0)});
  }
  return writers;
}

std::vector<SnapshotRecord> Catalog::SurplusUndo(int64_t workspace_id, size_t keep,
                                                 size_t limit) const {
  const auto most = static_cast<size_t>(std::numeric_limits<int64_t>::max());
  const MutexLock lock(read_mutex_);
  // The same conditions as those of index snapshot_undo, verbatim: SQLite uses the index only then.
  return AllSnapshots(reader_.Query(
      CKPTFS_SELECT_SNAPSHOT
      "WHERE s.workspace_id = ?1 AND s.kind = 'pre-rollback' AND s.pinned = 0 AND s.missing = 0 "
      "AND s.holds = '' "
      "AND s.id <= (SELECT id FROM snapshot WHERE workspace_id = ?1 AND kind = 'pre-rollback' "
      "AND pinned = 0 AND missing = 0 ORDER BY id DESC LIMIT 1 OFFSET ?2) "
      "ORDER BY s.id LIMIT ?3",
      workspace_id, std::min(keep, most), std::min(limit, most)));
}

std::vector<VolumeId> Catalog::Tombstones() const {
  const MutexLock lock(read_mutex_);
  std::vector<VolumeId> volumes;
  Statement rows = reader_.Query("SELECT volume FROM tombstone ORDER BY since_ns");
  while (rows.Step()) volumes.push_back(rows.Id(0));
  return volumes;
}

std::optional<int64_t> Catalog::TombstoneSinceNs(const VolumeId& volume) const {
  const MutexLock lock(read_mutex_);
  Statement row = reader_.Query("SELECT since_ns FROM tombstone WHERE volume = ?", volume);
  return row.Step() ? std::optional(row.Int(0)) : std::nullopt;
}

std::vector<TemplateInfo> Catalog::ListTemplates() const {
  const MutexLock lock(read_mutex_);
  Statement statement = reader_.Query(CKPTFS_SELECT_TEMPLATE "ORDER BY name");
  std::vector<TemplateInfo> templates;
  while (statement.Step()) templates.push_back(ReadTemplate(statement));
  return templates;
}

std::optional<TemplateInfo> Catalog::FindTemplate(const std::string& name) const {
  const MutexLock lock(read_mutex_);
  Statement statement = reader_.Query(CKPTFS_SELECT_TEMPLATE "WHERE name = ?", name);
  if (!statement.Step()) return std::nullopt;
  return ReadTemplate(statement);
}

void Catalog::RequireSoundRows() const {
  Facts();
  Generation();
  MountRoot();
  ListTemplates();
  RowCheck check;
  {
    const MutexLock lock(read_mutex_);
    Statement workspaces = reader_.Query(CKPTFS_SELECT_WORKSPACE);
    while (workspaces.Step()) check.Add(ReadWorkspace(workspaces));
    Statement snapshots = reader_.Query(CKPTFS_SELECT_SNAPSHOT);
    while (snapshots.Step()) check.Add(ReadSnapshot(snapshots));
    // The largest and smallest ids, including those from which SQLite itself counts on.
    Statement limits = reader_.Query(
        "SELECT (SELECT max(seq) FROM sqlite_sequence), (SELECT min(seq) FROM sqlite_sequence), "
        "(SELECT max(snapshots_changed_ns) FROM workspace), "
        "(SELECT min(snapshots_changed_ns) FROM workspace), "
        "(SELECT max(view) FROM tombstone), (SELECT min(view) FROM tombstone), "
        "(SELECT max(cleaned_ns) FROM workspace), (SELECT min(cleaned_ns) FROM workspace)");
    limits.Step();
    RowCheck::RequireRange("an id", limits.Int(0), limits.Int(1), kMaxRowId);
    RowCheck::RequireRange("a time", limits.Int(2), limits.Int(3), kTimeNsMax);
    RowCheck::RequireRange("a view number", limits.Int(4), limits.Int(5), kMaxView);
    RowCheck::RequireRange("a time", limits.Int(6), limits.Int(7), kTimeNsMax);
    for (const ViewRange& range : kViewRanges) LastGiven(range);
  }
  for (const VolumeId& volume : Tombstones()) check.AddOwner(volume);
  check.RequireReferences();
}

}  // namespace ckptfs
