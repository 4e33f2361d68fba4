// Commands that change workspaces and snapshots.
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "fs/control/control_requests.h"

namespace ckptfs::control {
namespace {

using wire::Json;

Json NameOrNull(const std::optional<SnapshotRecord>& snapshot) {
  return snapshot ? Json(snapshot->name) : Json();
}

// Cancelled, without a checkpoint, if the requester goes away first.
bool Changed(const Request& request, const WorkspaceRecord& workspace) {
  const Turn turn(request.limits);
  return request.verbs.ChangedSinceParent(workspace.id, request.limits);
}

}  // namespace

Json Checkpoint(const Request& request) {
  const WorkspaceRecord workspace = request.ChangedWorkspace();
  request.Require(Right::kCheckpoint, &workspace);
  CheckpointRequest wanted;
  if (request.Has("name")) {
    wanted.name = request.Text("name");
    // An empty name would mean: generate one.
    CheckName("snapshot", wanted.name);
  }
  if (request.Has("message")) wanted.message = request.Text("message");
  if (request.Has("metadata")) wanted.metadata = Metadata::Checked(request.Text("metadata"));
  wanted.pinned = request.Flag("pinned", false);
  // Changes between this check and the checkpoint are in the next one.
  if (request.Flag("if_changed", false) && workspace.parent_id && !Changed(request, workspace)) {
    const auto parent = request.store().rows().FindSnapshot(*workspace.parent_id);
    if (parent) return Json{{"unchanged_since", parent->name}, {"workspace", workspace.name}};
  }
  return ToJson(request.verbs.Checkpoint(workspace.id, wanted), workspace.name);
}

Json Rollback(const Request& request) {
  const WorkspaceRecord workspace = request.ChangedWorkspace();
  request.Require(Right::kRollBack, &workspace);
  const SnapshotRecord snapshot = request.Snapshot(workspace);
  const auto [result, unmounted] =
      request.verbs.RollbackInPlace({workspace.id, snapshot.id}, request.Flag("force", false));
  Json paths = Json::array();
  for (const std::string& path : unmounted) paths.push_back(wire::FromBytes(path));
  return Json{{"workspace", workspace.name},
              {"snapshot", snapshot.name},
              {"kept", NameOrNull(result.kept)},
              {"equal_to", NameOrNull(result.equal_to)},
              {"unmounted", std::move(paths)}};
}

Json Fork(const Request& request) {
  const WorkspaceRecord workspace = request.ChangedWorkspace();
  const SnapshotRecord snapshot = request.Snapshot(workspace);
  request.Require(Right::kFork, &workspace, &snapshot);
  return Json{{"workspace", request.verbs.Fork(snapshot.id, request.Text("name")).name},
              {"snapshot", snapshot.name}};
}

Json Delete(const Request& request) {
  const WorkspaceRecord workspace = request.ChangedWorkspace();
  // "latest" moves: a permanent deletion needs the full name.
  if (request.Text("snapshot") == kLatestName) {
    throw Error(EINVAL, fmt::format("delete {}/{}", workspace.name, kLatestName),
                "this is not the name of a snapshot", "Give the snapshot's own name");
  }
  const SnapshotRecord snapshot = request.Snapshot(workspace);
  request.Require(Right::kChangeSnapshot, &workspace, &snapshot);
  request.verbs.DeleteSnapshot(snapshot.id, request.Flag("force", false));
  return Json{{"workspace", workspace.name}, {"snapshot", snapshot.name}};
}

Json Pin(const Request& request) {
  const WorkspaceRecord workspace = request.ChangedWorkspace();
  const SnapshotRecord snapshot = request.Snapshot(workspace);
  request.Require(Right::kChangeSnapshot, &workspace, &snapshot);
  const bool pinned = request.Flag("pinned", true);
  request.verbs.SetPinned(snapshot.id, pinned);
  return Json{{"workspace", workspace.name}, {"snapshot", snapshot.name}, {"pinned", pinned}};
}

Json Hold(const Request& request) {
  const WorkspaceRecord workspace = request.ChangedWorkspace();
  const SnapshotRecord snapshot = request.Snapshot(workspace);
  request.Require(Right::kChangeSnapshot, &workspace, &snapshot);
  const std::string tag = request.Text("tag");
  request.verbs.SetHold(snapshot.id, tag, request.Flag("held", true));
  return Json{{"workspace", workspace.name}, {"snapshot", snapshot.name}, {"tag", tag}};
}

Json Fsck(const Request& request) {
  const bool repair = request.Flag("repair", false);
  request.Require(Right::kManageStore);
  // If the store is read-only because of the damage to repair, the kernel allows only read-only descriptors,
  // so one suffices to request the repair. If only the caller's mount is read-only, that also holds for
  // repairs.
  if (request.caller.workspace_id || (repair && !request.store().Status().read_only)) {
    request.RequireChangesToMount();
  }
  FsckReport report = request.store().Fsck(repair);
  if (repair) {
    // Checks again to find the remaining problems.
    report.problems = request.store().Fsck(false).problems;
  }
  return Json{{"problems", report.problems}, {"repaired", report.repaired}};
}

Json Sync(const Request& request) {
  const WorkspaceRecord workspace = request.ChangedWorkspace();
  request.store().backend().Sync(workspace.volume);
  return Json::object();
}

}  // namespace ckptfs::control
