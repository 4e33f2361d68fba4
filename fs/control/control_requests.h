// The daemon's implementation of the control protocol's commands. Internal to fs/control*.cc.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "backend/base/unique_fd.h"
#include "catalog/trees/import.h"
#include "fs/control/control.h"
#include "fs/control/control_wire.h"
#include "fs/control/request_limits.h"
#include "fs/operations/rights.h"
#include "fs/operations/verbs.h"

namespace ckptfs::control {

// Where a running request sends what precedes its result.
class Answer {
 public:
  virtual ~Answer() = default;
  // Sends one line. Waits while the reader is far behind; does nothing once the reader is gone.
  virtual void Send(wire::Json line) = 0;
  // The reader is gone, or the server stops.
  virtual bool IsAbandoned() const = 0;
  // For how long the sender has been waiting for the reader; zero: it is not waiting.
  virtual std::chrono::steady_clock::duration UnreadFor() const = 0;
  // Gives up the request: after the current line, its reader gets that error. Called by other threads.
  virtual void Break(const Error& error) = 0;
};

// One running request, on its own thread.
struct Request {
  Verbs& verbs;
  const ControlCaller& caller;
  Answer& answer;
  RequestLimits& limits;
  std::string command;
  std::optional<std::string> workspace;
  wire::Json args = wire::Json::object();

  Store& store() const noexcept { return verbs.store(); }

  // Arguments. Throw Error EINVAL if one is missing or of another type.
  bool Has(const char* name) const;  // present and not null
  std::string Text(const char* name) const;
  bool Flag(const char* name, bool otherwise) const;
  uint64_t Number(const char* name) const;

  // The workspace that the request is about: that of the scope, or the one named. Throws EPERM if the scope
  // is another workspace, EACCES if a caller other than root names one through the mount root (which would
  // bypass the permissions of its directory), ENOENT, EINVAL.
  WorkspaceRecord Workspace() const;
  // The same for a changing command: EACCES if the descriptor is not open for writing.
  WorkspaceRecord ChangedWorkspace() const;
  // Throws what RequireRight does if the caller lacks that right, on the workspace and its snapshot or,
  // without one, on the mount.
  void Require(Right right, const WorkspaceRecord* about = nullptr,
               const SnapshotRecord* snapshot = nullptr) const;
  // Whether the caller may see the names of all workspaces. Not in the scope of one workspace: the caller may
  // be in a container that cannot see the mount root.
  bool MayListWorkspaces() const;
  bool MayManageStore() const;  // fsck, gc; not in the scope of one workspace
  // For commands on the whole mount. EPERM in a workspace's scope, EACCES without write permission.
  void RequireChangesToMount() const;
  // The snapshot of this workspace that argument "snapshot" names ("latest" is the newest checkpoint), or the
  // "newest"-th checkpoint, counted from 1 for the newest (Store::NewestCheckpoint). ENOENT, EINVAL.
  SnapshotRecord Snapshot(const WorkspaceRecord& record) const;
};

// Runs the request and returns its result. Throws Error.
wire::Json Run(const Request& request);

// Parses the text of a request. Throws Error EINVAL.
Request ParseRequest(Verbs& verbs, const ControlCaller& caller, Answer& answer,
                     RequestLimits& limits, const std::string& text);

// A snapshot as `ckpt list --format json` shows it.
wire::Json ToJson(const SnapshotRecord& snapshot, const std::string& workspace);

// control_queries.cc
wire::Json Hello(const Request& request);
wire::Json List(const Request& request);
wire::Json Show(const Request& request);
wire::Json Status(const Request& request);
wire::Json Df(const Request& request);
wire::Json Diff(const Request& request);
wire::Json Preview(const Request& request);
// What the last look at the store's health found, in one line for the caller; null: nothing.
wire::Json HealthLine(const Request& request);
// control_changes.cc
wire::Json Checkpoint(const Request& request);
wire::Json Rollback(const Request& request);
wire::Json Fork(const Request& request);
wire::Json Delete(const Request& request);
wire::Json Pin(const Request& request);
wire::Json Hold(const Request& request);
wire::Json Fsck(const Request& request);
wire::Json Sync(const Request& request);
// control_cleanup.cc
wire::Json Cleanup(const Request& request);
wire::Json Forget(const Request& request);
// control_gc.cc
wire::Json Gc(const Request& request);
wire::Json GarbageForDf(
    const Request& request);  // what Gc would remove; null if the caller may not run it
// control_settings.cc
wire::Json GetSettings(const Request& request);
wire::Json SetSetting(const Request& request);
// control_import.cc
wire::Json Import(const Request& request);
// control_templates.cc
wire::Json TemplateDiskBytes(Store& store, const TemplateId& id);  // null if its image is gone
wire::Json Create(const Request& request);
wire::Json Templates(const Request& request);
wire::Json TemplateAdd(const Request& request);
wire::Json TemplateRemove(const Request& request);

// Reopens, for reading, the caller's descriptor that arguments fd, device and inode name. The caller must be
// root. EOPNOTSUPP if the daemon cannot reach it.
UniqueFd OpenCallersFile(const Request& request, const std::string& attempted);
// The options for copying a tree on behalf of a request.
ImportOptions ImportOptionsFor(const Request& request);

}  // namespace ckptfs::control
