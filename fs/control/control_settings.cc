// Requests that read and change settings.
#include "fs/control/control_requests.h"

namespace ckptfs::control {
namespace {

using wire::Json;

// The workspace whose settings are requested; empty: the store's.
std::optional<WorkspaceRecord> WorkspaceMeant(const Request& request) {
  if (!request.caller.workspace_id && !request.workspace) return std::nullopt;
  return request.Workspace();
}

std::optional<int64_t> IdOf(const std::optional<WorkspaceRecord>& workspace) {
  return workspace ? std::optional(workspace->id) : std::nullopt;
}

Json ToJson(const Setting& setting) {
  return Json{{"key", setting.key},
              {"value", setting.value ? Json(*setting.value) : Json()},
              {"origin", ToString(setting.origin)}};
}

}  // namespace

Json GetSettings(const Request& request) {
  const Settings settings = request.store().SettingsFor(IdOf(WorkspaceMeant(request)));
  if (request.Has("key")) return Json::array({ToJson(settings.Get(request.Text("key")))});
  Json all = Json::array();
  for (const Setting& setting : settings.All()) all.push_back(ToJson(setting));
  return all;
}

Json SetSetting(const Request& request) {
  const std::optional<WorkspaceRecord> workspace = WorkspaceMeant(request);
  if (workspace) {
    static_cast<void>(request.ChangedWorkspace());
    request.Require(Right::kSetPolicy, &*workspace);
  } else {
    request.Require(Right::kManageStore);
    request.RequireChangesToMount();
  }
  const std::string key = request.Text("key");
  const auto value = request.Has("value") ? std::optional(request.Text("value")) : std::nullopt;
  request.verbs.SetSetting(IdOf(workspace), key, value);
  return ToJson(request.store().SettingsFor(IdOf(workspace)).Get(key));
}

}  // namespace ckptfs::control
