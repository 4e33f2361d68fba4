// Commands that change nothing.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "backend/base/low_priority.h"
#include "backend/base/time.h"
#include "backend/compare/diff_list.h"
#include "catalog/store/unlinked_directory.h"
#include "fs/control/control_requests.h"
#include "fs/control/control_visibility.h"
#include "fs/control/item_sender.h"

namespace ckptfs::control {
namespace {

using wire::Json;

constexpr size_t kSnapshotsAtOnce = 100;
// Changes with a longer path are omitted; the limit is sixteen times what a program can use.
constexpr size_t kToldPathBytesMax = size_t{64} << 10;

const char* KindOf(const DiffEntry& change) {
  switch (change.kind) {
    case DiffKind::kAdded:
      return wire::kKindAdded;
    case DiffKind::kRemoved:
      return wire::kKindRemoved;
    case DiffKind::kModified:
      return wire::kKindModified;
    case DiffKind::kRenamed:
      return wire::kKindRenamed;
  }
  return "";
}

// Sends the changes between two states that the caller may see. Returns the number of the others.
Json SendVisible(const Request& request, const DiffList& changes, const VolumeId& older,
                 const VolumeId& newer) {
  const LowPriority low;
  const Backend& backend = request.store().backend();
  VisibleNames visible_before(request.caller, backend, older);
  VisibleNames visible_after(request.caller, backend, newer);
  size_t hidden = 0;
  size_t too_long = 0;
  ItemSender sender(request.answer);
  changes.ForEach([&](const DiffEntry& change) {
    const size_t bytes = change.path.size() + change.old_path.size();
    if (std::max(change.path.size(), change.old_path.size()) > kToldPathBytesMax) {
      ++too_long;
    } else if (!Shows(change, visible_before, visible_after)) {
      ++hidden;
    } else {
      Json item{{"kind", KindOf(change)}, {"path", wire::FromBytes(change.path)}};
      if (change.kind == DiffKind::kRenamed) item["old_path"] = wire::FromBytes(change.old_path);
      sender.Add(std::move(item), bytes);
    }
  });
  sender.Flush();
  return Json{{wire::kHidden, hidden}, {wire::kTooLong, too_long}};
}

// Each snapshot of a workspace, oldest first, until the requester goes away.
template <typename Visit>
void ForEachSnapshot(const Request& request, int64_t workspace_id, const Visit& visit) {
  int64_t after_id = 0;
  for (;;) {
    const std::vector<SnapshotRecord> page =
        request.store().rows().ListSnapshots(workspace_id, after_id, kSnapshotsAtOnce);
    if (page.empty()) return;
    for (const SnapshotRecord& snapshot : page) {
      request.limits.RequireWanted();
      visit(snapshot);
    }
    after_id = page.back().id;
  }
}

std::vector<WorkspaceRecord> WorkspacesInScope(const Request& request) {
  if (request.caller.workspace_id || request.workspace) return {request.Workspace()};
  if (!request.MayListWorkspaces()) return {};
  return request.store().rows().ListWorkspaces();
}

bool HidesWorkspaces(const Request& request) {
  return !request.caller.workspace_id && !request.MayListWorkspaces();
}

// Files that were open but nameless when the snapshot was taken.
Json UnlinkedFilesOf(const Request& request, const SnapshotRecord& snapshot,
                     VisibleNames& visible) {
  Json files = Json::array();
  if (snapshot.unlinked_open == 0 || snapshot.state != SnapshotState::kOk) return files;
  const auto volume = request.store().backend().Open(snapshot.volume);
  for (const UnlinkedFile& file : ListUnlinkedFiles(*volume)) {
    if (!visible.Shows(file.path)) continue;
    files.push_back({{"name", file.name},
                     {"path", wire::FromBytes(file.path)},
                     {"size_bytes", file.size_bytes},
                     {"allocated_bytes", file.allocated_bytes}});
  }
  return files;
}

void AddOpenWriters(Json& json, const std::optional<OpenWriterList>& writers,
                    VisibleNames& visible) {
  json["open_for_writing"] = Json::array();
  json["open_for_writing_total"] = writers ? Json(writers->total) : Json();
  if (!writers) return;
  for (const OpenWriter& writer : writers->named) {
    if (!visible.Shows(writer.path)) continue;
    json["open_for_writing"].push_back({{"path", wire::FromBytes(writer.path)},
                                        {"pid", writer.pid},
                                        {"command", wire::FromBytes(writer.command)}});
  }
}

// A caller in the scope of one workspace, or one that may not list the mount root, learns only that there are
// warnings about others; root sees all.
std::vector<std::string> Warnings(const Request& request, const StoreStatus& status,
                                  const std::vector<HealthFinding>& findings) {
  Store& store = request.store();
  const BackendHealth health = store.backend().Health();
  const bool of_all = request.caller.uid == 0 || request.MayListWorkspaces();
  std::vector<std::string> warnings;
  if (of_all) {
    warnings = status.warnings;
    warnings.insert(warnings.end(), health.warnings.begin(), health.warnings.end());
  } else if (const size_t count = status.warnings.size() + health.warnings.size(); count != 0) {
    warnings.push_back(
        fmt::format("The store has {} warnings, which 'ckpt status' shows to root.", count));
  }
  for (const WorkspaceRecord& workspace :
       of_all ? store.rows().ListWorkspaces() : WorkspacesInScope(request)) {
    if (std::count(health.stopped.begin(), health.stopped.end(), workspace.volume) == 0) continue;
    warnings.push_back(fmt::format(
        "The workspace {} has stopped, for want of space most likely: it can be read, and is whole "
        "but "
        "for what was written last. Free space on the disk of the store; if this stays, see the "
        "kernel's log (dmesg).",
        workspace.name));
  }
  for (const HealthFinding& finding : findings) warnings.push_back(finding.sentence);
  const std::vector<std::string> of_space = store.SpaceWarnings();
  warnings.insert(warnings.end(), of_space.begin(), of_space.end());
  return warnings;
}

const char* StateOf(const std::optional<StorageFailure>& failure) {
  if (!failure) return wire::kStateOk;
  return failure->kind == StorageFailure::Kind::kReadOnly ? wire::kStateReadOnly
                                                          : wire::kStateLostWrites;
}

Json ToJson(const std::vector<HealthFinding>& findings) {
  Json json = Json::array();
  for (const HealthFinding& finding : findings) {
    json.push_back({{"key", finding.key},
                    {"workspace", finding.workspace_id ? Json(finding.workspace) : Json()},
                    {"message", finding.sentence}});
  }
  return json;
}

// Those that the caller may know of.
std::vector<HealthFinding> VisibleHealth(const Request& request,
                                         std::vector<HealthFinding> findings) {
  if (findings.empty() || request.caller.uid == 0 || request.MayListWorkspaces()) return findings;
  std::erase_if(findings, [&](const HealthFinding& finding) {
    return finding.workspace_id && finding.workspace_id != request.caller.workspace_id;
  });
  return findings;
}

}  // namespace

Json HealthLine(const Request& request) {
  const auto findings = VisibleHealth(request, request.store().KnownHealth());
  if (findings.empty()) return nullptr;
  if (findings.size() == 1) return findings.front().sentence;
  return fmt::format("{} ('ckpt status' tells {} more.)", findings.front().sentence,
                     findings.size() - 1);
}

Json ToJson(const SnapshotRecord& snapshot, const std::string& workspace) {
  Json metadata = wire::Parse(snapshot.metadata);
  if (metadata.is_discarded()) metadata = snapshot.metadata;
  return Json{
      {"workspace", workspace},
      {"name", snapshot.name},
      {"id", snapshot.uuid.str()},
      {"created", FormatRfc3339(snapshot.created_ns)},
      {"message", snapshot.message},
      {"metadata", std::move(metadata)},
      {"pinned", snapshot.pinned},
      {"holds", snapshot.holds},
      {"missing", snapshot.state == SnapshotState::kMissing},
      {"parent", snapshot.parent_name.empty() ? Json() : Json(snapshot.parent_name)},
      {"kind", ToString(snapshot.kind)},
      {"unlinked_open", snapshot.unlinked_open},
      {"moment", ToString(snapshot.moment)},
      {"moment_reason", snapshot.moment_reason.empty() ? Json() : Json(snapshot.moment_reason)}};
}

Json Hello(const Request& request) {
  const bool scoped = request.caller.workspace_id.has_value();
  return Json{{"scope", scoped ? wire::kScopeWorkspace : wire::kScopeMount},
              {"workspace", scoped ? Json(request.Workspace().name) : Json()},
              {"mountpoint", wire::FromBytes(request.verbs.mountpoint())},
              {"version", CKPTFS_VERSION}};
}

Json List(const Request& request) {
  const WorkspaceRecord workspace = request.Workspace();
  const LowPriority low;
  ItemSender sender(request.answer);
  ForEachSnapshot(request, workspace.id, [&](const SnapshotRecord& snapshot) {
    sender.Add(ToJson(snapshot, workspace.name),
               snapshot.message.size() + snapshot.metadata.size());
  });
  sender.Flush();
  return Json::array();
}

Json Show(const Request& request) {
  const WorkspaceRecord workspace = request.Workspace();
  SnapshotRecord snapshot = request.Snapshot(workspace);
  Json usage_referenced;
  Json usage_exclusive;
  if (snapshot.state == SnapshotState::kOk) {
    try {
      const Turn turn(request.limits);
      const VolumeUsage usage = request.store().SnapshotUsage(snapshot.id);
      usage_referenced = usage.referenced_bytes;
      usage_exclusive = usage.exclusive_bytes;
    } catch (const Error&) {
      // Its data may have turned out to be missing just now: then show that.
      const auto again = request.store().rows().FindSnapshot(snapshot.id);
      if (!again || again->state == SnapshotState::kOk) throw;
      snapshot = *again;
    }
  }
  Json json = ToJson(snapshot, workspace.name);
  VisibleNames visible(request.caller, request.store().backend(), snapshot.volume);
  json["unlinked_files"] = UnlinkedFilesOf(request, snapshot, visible);
  json["state"] = ToString(snapshot.state);
  json["referenced_bytes"] = usage_referenced;
  json["exclusive_bytes"] = usage_exclusive;
  AddOpenWriters(json, request.store().rows().OpenWriters(snapshot.id), visible);
  return json;
}

Json Status(const Request& request) {
  Store& store = request.store();
  const StoreStatus status = store.Status();
  const SpaceInfo space = store.backend().Space();
  const std::vector<HealthFinding> findings = VisibleHealth(request, store.LookAtHealth());
  std::vector<std::string> warnings = Warnings(request, status, findings);
  const std::optional<StorageFailure> failure = store.Failure();  // Warnings has looked closer
  if (failure) warnings.insert(warnings.begin(), failure->Sentences());
  Json workspaces = Json::array();
  for (const WorkspaceRecord& workspace : WorkspacesInScope(request)) {
    workspaces.push_back({{"name", workspace.name},
                          {"snapshots", store.rows().CountSnapshots(workspace.id)},
                          {"created", FormatRfc3339(workspace.created_ns)}});
  }
  return Json{{"version", CKPTFS_VERSION},
              {"source", wire::FromBytes(status.source)},
              {"mountpoint", wire::FromBytes(request.verbs.mountpoint())},
              {"backend",
               {{"type", status.backend_type},
                {"selection", status.backend_selection},
                {"selected_at", FormatRfc3339(status.backend_selected_at_ns)}}},
              {"clean_start", status.clean_start},
              {"state", StateOf(failure)},
              {"reason", failure ? Json(failure->reason) : Json()},
              {"remedy", failure ? Json(failure->remedy) : Json()},
              {"read_only", status.read_only},
              {"workspaces", std::move(workspaces)},
              {wire::kWorkspacesHidden, HidesWorkspaces(request)},
              {"fs_total_bytes", space.total_bytes},
              {"fs_used_bytes", space.used_bytes},
              {"health", ToJson(findings)},
              {wire::kWarnings, std::move(warnings)}};
}

namespace {

// Null if its data is missing.
Json LiveUsage(Store& store, const WorkspaceRecord& workspace) {
  try {
    const VolumeUsage bytes = store.backend().Usage(workspace.volume);
    return Json{{"referenced_bytes", bytes.referenced_bytes},
                {"exclusive_bytes", bytes.exclusive_bytes}};
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    return nullptr;
  }
}

}  // namespace

Json Df(const Request& request) {
  Store& store = request.store();
  const bool with_usage = request.Flag("usage", false);
  // Computing sizes is expensive: only for users who may read the workspace.
  if (with_usage) static_cast<void>(request.Workspace());
  const SpaceInfo space = store.backend().Space();
  Json workspaces = Json::array();
  for (const WorkspaceRecord& workspace : WorkspacesInScope(request)) {
    Json entry{{"name", workspace.name}, {"snapshots", store.rows().CountSnapshots(workspace.id)}};
    if (with_usage) {
      const Turn turn(request.limits);
      Json usages = Json::array();
      ForEachSnapshot(request, workspace.id, [&](const SnapshotRecord& snapshot) {
        Json usage{
            {"name", snapshot.name}, {"referenced_bytes", nullptr}, {"exclusive_bytes", nullptr}};
        if (snapshot.state == SnapshotState::kOk) {
          const VolumeUsage bytes = store.SnapshotUsage(snapshot.id);
          usage["referenced_bytes"] = bytes.referenced_bytes;
          usage["exclusive_bytes"] = bytes.exclusive_bytes;
        }
        usages.push_back(std::move(usage));
      });
      entry["usage"] = std::move(usages);
      entry["live"] = LiveUsage(store, workspace);
    }
    workspaces.push_back(std::move(entry));
  }
  Json templates = Json::array();
  for (const TemplateInfo& info : store.ListTemplates()) {
    templates.push_back(Json{{"name", info.label},
                             {"size_bytes", info.size_bytes},
                             {"disk_bytes", TemplateDiskBytes(store, info.id)}});
  }
  return Json{
      {"fs_total_bytes", space.total_bytes}, {"fs_used_bytes", space.used_bytes},
      {"fs_free_bytes", space.free_bytes},   {"gc", GarbageForDf(request)},
      {"templates", std::move(templates)},   {wire::kWorkspacesHidden, HidesWorkspaces(request)},
      {"workspaces", std::move(workspaces)}};
}

namespace {

DiffList Compare(const Request& request, const DiffRequest& wanted) {
  const Turn turn(request.limits);
  return request.verbs.Diff(wanted, request.limits);
}

}  // namespace

Json Diff(const Request& request) {
  const WorkspaceRecord workspace = request.Workspace();
  const auto named = [&](const char* argument) {
    Request other = request;
    other.args = Json{{"snapshot", wire::FromBytes(request.Text(argument))}};
    return other.Snapshot(workspace);
  };
  const SnapshotRecord from = named("from");
  std::optional<SnapshotRecord> to;
  if (request.Has("to") && request.Text("to") != kLiveName) to = named("to");
  const DiffList changes =
      Compare(request, {.older_snapshot_id = from.id,
                        .newer_snapshot_id = to ? std::optional(to->id) : std::nullopt,
                        .workspace_id = workspace.id});
  const VolumeId newer = to ? to->volume : request.Workspace().volume;
  return SendVisible(request, changes, from.volume, newer);
}

Json Preview(const Request& request) {
  const WorkspaceRecord workspace = request.Workspace();
  const SnapshotRecord snapshot = request.Snapshot(workspace);
  const VolumeId live = workspace.volume;
  DiffList changes = Compare(request, {.older_snapshot_id = snapshot.id,
                                       .newer_snapshot_id = std::nullopt,
                                       .workspace_id = workspace.id});
  changes.Invert();
  Json result = SendVisible(request, changes, live, snapshot.volume);
  result["snapshot"] = snapshot.name;
  return result;
}

}  // namespace ckptfs::control
