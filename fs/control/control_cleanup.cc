// Requests that remove many snapshots: cleanup by keep rules, and the removal of a workspace.
#include <cerrno>
#include <optional>

#include "backend/base/text.h"
#include "fs/control/control_requests.h"
#include "fs/control/item_sender.h"
#include "fs/operations/cleanup.h"

namespace ckptfs::control {
namespace {

using wire::Json;

// The rules in the request or, without any, those in the settings.
KeepRules RulesOf(const Request& request, const WorkspaceRecord& workspace) {
  SettingMap given;
  if (request.Has("rules")) {
    const Json& rules = request.args.at("rules");
    if (!rules.is_object()) throw Error(EINVAL, "read the rules", "they are no object");
    for (const auto& [key, value] : rules.items()) {
      given[key] = wire::ToBytes(value, "read the rule " + PlainText(key));
    }
  }
  return given.empty() ? request.store().SettingsFor(workspace.id).Rules() : RulesFrom(given);
}

Json ToJson(const CleanupOutcome& outcome, const std::string& workspace) {
  return Json{{"workspace", workspace},
              {"name", outcome.verdict.name},
              {"action", outcome.verdict.keep ? "keep" : "remove"},
              {"reasons", outcome.verdict.reasons},
              {"error", outcome.error.empty() ? Json() : Json(outcome.error)}};
}

}  // namespace

Json Cleanup(const Request& request) {
  const bool dry_run = request.Flag("dry_run", false);
  const WorkspaceRecord workspace = dry_run ? request.Workspace() : request.ChangedWorkspace();
  if (!dry_run) request.Require(Right::kSetPolicy, &workspace);
  const KeepRules rules = RulesOf(request, workspace);
  size_t removed = 0;
  size_t failed = 0;
  ItemSender sender(request.answer);
  CleanUp(request.verbs, {.workspace_id = workspace.id, .rules = rules}, dry_run,
          [&](const CleanupOutcome& outcome) {
            removed += outcome.was_removed ? 1 : 0;
            failed += outcome.error.empty() ? 0 : 1;
            sender.Add(ToJson(outcome, workspace.name), outcome.verdict.name.size());
            return !request.answer.IsAbandoned();
          });
  sender.Flush();
  return Json{{"workspace", workspace.name}, {"removed", removed}, {"failed", failed}};
}

Json Forget(const Request& request) {
  const WorkspaceRecord workspace = request.ChangedWorkspace();
  request.Require(Right::kForget, &workspace);
  ForgetRequest wanted{.workspace_id = workspace.id, .dry_run = request.Flag("dry_run", false)};
  std::optional<Turn> comparison;
  if (request.Has("snapshot")) {
    wanted.unchanged_since = request.Snapshot(workspace).id;
    comparison.emplace(request.limits);
  }
  return Json{{"workspace", workspace.name},
              {"snapshots", request.verbs.ForgetWorkspace(wanted, request.limits)}};
}

}  // namespace ckptfs::control
