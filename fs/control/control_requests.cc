#include "fs/control/control_requests.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <utility>

#include "catalog/trees/names.h"

namespace ckptfs::control {
namespace {

// JSON values; many times what any request needs. Each takes many times its text in memory.
constexpr size_t kMaxRequestValues = 16'384;

struct CommandEntry {
  const char* name = nullptr;
  wire::Json (*run)(const Request& request) = nullptr;
  bool takes_space = false;
};

constexpr std::array kCommands = {
    CommandEntry{wire::kHello, Hello},
    CommandEntry{wire::kList, List},
    CommandEntry{wire::kShow, Show},
    CommandEntry{wire::kStatus, Status},
    CommandEntry{wire::kDf, Df},
    CommandEntry{wire::kDiff, Diff},
    CommandEntry{wire::kPreview, Preview},
    CommandEntry{wire::kCleanup, Cleanup},
    CommandEntry{wire::kForget, Forget},
    CommandEntry{wire::kGc, Gc},
    CommandEntry{wire::kSettings, GetSettings},
    CommandEntry{wire::kSetSetting, SetSetting},
    CommandEntry{wire::kCheckpoint, Checkpoint, true},
    CommandEntry{wire::kRollback, Rollback},
    CommandEntry{wire::kFork, Fork, true},
    CommandEntry{wire::kDelete, Delete},
    CommandEntry{wire::kPin, Pin},
    CommandEntry{wire::kHold, Hold},
    CommandEntry{wire::kFsck, Fsck},
    CommandEntry{wire::kImport, Import, true},
    CommandEntry{wire::kCreate, Create, true},
    CommandEntry{wire::kTemplates, Templates},
    CommandEntry{wire::kTemplateAdd, TemplateAdd, true},
    CommandEntry{wire::kTemplateRemove, TemplateRemove},
    CommandEntry{wire::kSync, Sync},
};

[[noreturn]] void ThrowBadArgument(const Request& request, const char* name, const char* why) {
  throw Error(EINVAL, fmt::format("read argument {} of {}", name, request.command), why);
}

const wire::Json& Argument(const Request& request, const char* name) {
  const auto found = request.args.find(name);
  if (found == request.args.end()) ThrowBadArgument(request, name, "it is missing");
  return *found;
}

SnapshotRecord NewestCheckpoint(const Request& request, const WorkspaceRecord& workspace) {
  const uint64_t n = request.Number("newest");
  const std::string attempted = fmt::format("find checkpoint {} of {}", n, workspace.name);
  if (n == 0) throw Error(EINVAL, attempted, "the newest is number 1");
  std::optional<SnapshotRecord> found = request.store().rows().NewestCheckpoint(workspace.id, n);
  if (found) return *found;
  throw Error(ENOENT, attempted,
              fmt::format("it has {}", request.store().rows().CountCheckpoints(workspace.id)),
              "'ckpt list' shows them");
}

void AddSpaceWarnings(const Store& store, wire::Json& result) {
  std::vector<std::string> warnings = store.SpaceWarnings();
  if (!warnings.empty()) result[wire::kWarnings] = std::move(warnings);
}

Asker AskerOf(const ControlCaller& caller) {
  return {caller.uid, caller.gid, [&caller] {
            return FurtherCredentials{.groups = caller.groups, .powers = caller.powers};
          }};
}

}  // namespace

void Request::Require(Right right, const WorkspaceRecord* about,
                      const SnapshotRecord* snapshot) const {
  // The control file has the permissions of the workspace's root.
  const bool may_write = about != nullptr && caller.may_change && caller.workspace_id == about->id;
  RequireRight(store(), right, AskerOf(caller),
               {.workspace = about, .snapshot = snapshot, .may_write_workspace = may_write});
}

bool Request::MayListWorkspaces() const {
  return !caller.workspace_id && HasRight(store(), Right::kListWorkspaces, AskerOf(caller), {});
}

bool Request::MayManageStore() const {
  return !caller.workspace_id && HasRight(store(), Right::kManageStore, AskerOf(caller), {});
}

bool Request::Has(const char* name) const {
  const auto found = args.find(name);
  return found != args.end() && !found->is_null();
}

std::string Request::Text(const char* name) const {
  return wire::ToBytes(Argument(*this, name), fmt::format("read argument {} of {}", name, command));
}

bool Request::Flag(const char* name, bool otherwise) const {
  if (!Has(name)) return otherwise;
  const wire::Json& value = Argument(*this, name);
  if (!value.is_boolean()) ThrowBadArgument(*this, name, "it is neither true nor false");
  return value.get<bool>();
}

uint64_t Request::Number(const char* name) const {
  const wire::Json& value = Argument(*this, name);
  if (!value.is_number_unsigned()) ThrowBadArgument(*this, name, "it is no whole number");
  return value.get<uint64_t>();
}

WorkspaceRecord Request::Workspace() const {
  if (caller.workspace_id) {
    std::optional<WorkspaceRecord> own = store().rows().FindWorkspace(*caller.workspace_id);
    if (!own) throw Error(ENOENT, command, "the workspace is gone");
    if (workspace && *workspace != own->name) {
      throw Error(EPERM, fmt::format("{} in workspace {}", command, *workspace),
                  fmt::format("this control file is that of workspace {}", own->name));
    }
    return *own;
  }
  if (!workspace) throw Error(EINVAL, command, "no workspace is named", "Name one with -w");
  if (caller.uid != 0) {
    throw Error(EACCES, fmt::format("{} in workspace {}", command, *workspace),
                "the mount root's control file does that for root only",
                "Use the control file of the workspace itself");
  }
  std::optional<WorkspaceRecord> named = store().rows().FindWorkspace(*workspace);
  if (!named) {
    throw Error(ENOENT, command, fmt::format("there is no workspace {}", *workspace),
                "'ckpt status' lists the workspaces");
  }
  return *named;
}

WorkspaceRecord Request::ChangedWorkspace() const {
  WorkspaceRecord record = Workspace();
  if (!caller.may_change) {
    throw Error(EACCES, fmt::format("{} in workspace {}", command, record.name),
                "its control file is open for reading only");
  }
  return record;
}

void Request::RequireChangesToMount() const {
  if (caller.workspace_id) {
    throw Error(EPERM, command, "this control file is that of one workspace only",
                "Use that of the mount root");
  }
  if (!caller.may_change) {
    throw Error(EACCES, command, "you may only look at this mount",
                "Run it as a user who may write the mount root");
  }
}

SnapshotRecord Request::Snapshot(const WorkspaceRecord& record) const {
  if (Has("newest")) return NewestCheckpoint(*this, record);
  const std::string name = Text("snapshot");
  const bool is_latest = name == kLatestName;
  std::optional<SnapshotRecord> found = is_latest ? store().rows().NewestCheckpoint(record.id)
                                                  : store().rows().FindSnapshot(record.id, name);
  if (!found) {
    throw Error(ENOENT, fmt::format("find snapshot {}/{}", record.name, name),
                is_latest ? "it has no checkpoint" : "there is no such snapshot",
                "'ckpt list' shows them");
  }
  return *found;
}

Request ParseRequest(Verbs& verbs, const ControlCaller& caller, Answer& answer,
                     RequestLimits& limits, const std::string& text) {
  wire::Json json = wire::Parse(text, kMaxRequestValues);
  if (json.is_discarded()) {
    throw Error(EINVAL, "read the request",
                "it is no JSON, or has more levels or values than any request needs");
  }
  const auto command = json.is_object() ? json.find(wire::kCommand) : json.end();
  if (!json.is_object() || command == json.end() || !command->is_string()) {
    throw Error(EINVAL, "read the request", "it is no JSON object with a command");
  }
  Request request{verbs, caller, answer, limits, command->get<std::string>(), std::nullopt};
  if (json.contains(wire::kWorkspace) && !json[wire::kWorkspace].is_null()) {
    request.workspace = wire::ToBytes(json[wire::kWorkspace], "read the workspace's name");
  }
  if (json.contains(wire::kArgs)) {
    if (!json[wire::kArgs].is_object()) {
      throw Error(EINVAL, "read the request", "its args are no JSON object");
    }
    request.args = std::move(json[wire::kArgs]);
  }
  return request;
}

wire::Json Run(const Request& request) {
  for (const CommandEntry& entry : kCommands) {
    if (request.command != entry.name) continue;
    wire::Json result = entry.run(request);
    if (entry.takes_space) AddSpaceWarnings(request.store(), result);
    return result;
  }
  throw Error(ENOSYS, fmt::format("run {}", request.command), "the daemon has no such command",
              "Are ckpt and the daemon of one version? See 'ckpt --version' and 'ckpt status'");
}

}  // namespace ckptfs::control
