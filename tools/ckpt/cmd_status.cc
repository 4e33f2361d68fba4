// ckpt status, ckpt df
#include <fmt/format.h>

#include <cerrno>
#include <memory>

#include "backend/base/error.h"
#include "fs/control/control_wire.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/locate.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

struct StatusOptions {
  std::optional<std::string> path;
  bool snapshots = false;
  std::string format = "table";
};

void AddMountOption(CLI::App& command, std::optional<std::string>& path) {
  command.add_option("--mount", path, "A path in the mount that is meant")->type_name("PATH");
}

// Names and paths are sent as {"bytes": ...} if they are not UTF-8.
std::string Name(const Json& json) { return ShellQuote(wire::ToBytes(json, "read the answer")); }

// A daemon of an older version does not tell it.
std::string StateOf(const Json& status) { return status.value("state", wire::kStateOk); }
bool IsOk(const Json& status) { return StateOf(status) == wire::kStateOk; }

void PrintStatus(const Json& status) {
  const auto line = [](const char* title, const std::string& value) {
    PrintLine(fmt::format("{:<12} {}", title, value));
  };
  const Json& backend = status.at("backend");
  line("version", status.at("version").get<std::string>());
  line("source", Name(status.at("source")));
  line("mountpoint", Name(status.at("mountpoint")));
  line("backend", fmt::format("{}, chosen {} ({})", backend.at("type").get<std::string>(),
                              FormatTime(backend.at("selected_at").get<std::string>()),
                              backend.at("selection").get<std::string>()));
  line("last stop", status.at("clean_start").get<bool>() ? "clean" : "not clean");
  if (status.value("read_only", false)) line("access", "read-only");
  const auto total = status.at("fs_total_bytes").get<uint64_t>();
  const auto used = status.at("fs_used_bytes").get<uint64_t>();
  line("space", fmt::format("{} of {} used", FormatBytes(used), FormatBytes(total)));
  if (!IsOk(status)) line("state", StateOf(status));  // a warning says why
  for (const Json& warning : status.at("warnings")) {
    line("WARNING", warning.get<std::string>());
  }
  PrintLine("");
  Table table({"WORKSPACE", "SNAPSHOTS", "CREATED"});
  table.AlignRight(1);
  table.MayShorten(0, kNameColumnsMin);
  for (const Json& workspace : status.at("workspaces")) {
    table.Add({Name(workspace.at("name")), std::to_string(workspace.at("snapshots").get<size_t>()),
               FormatTime(workspace.at("created").get<std::string>())});
  }
  PrintTable(table);
}

void NoteHidden(const Json& answer) {
  if (!answer.value(wire::kWorkspacesHidden, false)) return;
  Note("workspaces are not shown, as you may not list the mount root");
}

int RunStatus(const StatusOptions& options) {
  const Json status = FindWidest(options.path).Ask(Access::kRead, MakeRequest(wire::kStatus));
  HealthHeard().clear();  // it is among the warnings
  if (IsJson(options.format)) {
    PrintJson(status);
  } else {
    PrintStatus(status);
    NoteHidden(status);
  }
  return IsOk(status) ? kDone : kFailed;
}

// Fills in the sizes of the snapshots of each workspace; null if this user may not read it.
void AddUsage(const Location& widest, Json& df) {
  const Json request = MakeRequest(wire::kDf, Json{{"usage", true}});
  Json present = Json::array();
  for (Json& workspace : df.at("workspaces")) {
    workspace["usage"] = nullptr;
    workspace["live"] = nullptr;
    try {
      const Json one = widest.is_mount_root()
                           ? OpenWorkspace(widest, workspace.at("name")).Ask(Access::kRead, request)
                           : widest.Ask(Access::kRead, request);
      workspace["usage"] = one.at("workspaces").at(0).at("usage");
      workspace["live"] = one.at("workspaces").at(0).at("live");
    } catch (const Error& error) {
      if (error.errno_value() == ENOENT) continue;  // removed since it was listed
      if (error.errno_value() != EACCES) throw;
    }
    present.push_back(std::move(workspace));
  }
  df["workspaces"] = std::move(present);
}

void PrintDf(const Json& df, bool with_snapshots) {
  const auto total = df.at("fs_total_bytes").get<uint64_t>();
  const auto used = df.at("fs_used_bytes").get<uint64_t>();
  Table space({"TOTAL", "USED", "FREE", "USE%"});
  for (size_t column = 0; column < 4; ++column) space.AlignRight(column);
  space.Add({FormatBytes(total), FormatBytes(used), FormatBytes(df.at("fs_free_bytes")),
             fmt::format("{:.0f}%", total == 0 ? 0.0
                                               : 100.0 * static_cast<double>(used) /
                                                     static_cast<double>(total))});
  PrintTable(space);
  const Json& garbage = df.at("gc");
  if (garbage.is_object() && garbage.at("items").get<uint64_t>() > 0) {
    PrintLine(fmt::format("{} things that nothing refers to take {}: 'ckpt gc' removes them",
                          garbage.at("items").get<uint64_t>(), FormatBytes(garbage.at("bytes"))));
  }
  PrintLine("");
  if (!df.at("templates").empty()) {
    Table templates({"TEMPLATE", "SIZE", "ON DISK"});
    templates.AlignRight(1);
    templates.AlignRight(2);
    templates.MayShorten(0, kNameColumnsMin);
    for (const Json& one : df.at("templates")) {
      templates.Add({Name(one.at("name")), FormatBytes(one.at("size_bytes")),
                     FormatBytes(one.at("disk_bytes"))});
    }
    PrintTable(templates);
    PrintLine("");
  }
  if (!with_snapshots) {
    Table table({"WORKSPACE", "SNAPSHOTS"});
    table.AlignRight(1);
    table.MayShorten(0, kNameColumnsMin);
    for (const Json& workspace : df.at("workspaces")) {
      table.Add(
          {Name(workspace.at("name")), std::to_string(workspace.at("snapshots").get<size_t>())});
    }
    PrintTable(table);
    return;
  }
  Table table({"WORKSPACE", "SNAPSHOT", "REFERENCED", "EXCLUSIVE"});
  table.AlignRight(2);
  table.AlignRight(3);
  for (const size_t column : {0, 1}) table.MayShorten(column, kNameColumnsMin);
  for (const Json& workspace : df.at("workspaces")) {
    if (const Json& live = workspace.at("live"); !live.is_null()) {
      table.Add({Name(workspace.at("name")), "(live)", FormatBytes(live.at("referenced_bytes")),
                 FormatBytes(live.at("exclusive_bytes"))});
    }
    if (workspace.at("usage").is_null()) {
      table.Add({Name(workspace.at("name")), "(not readable)", "-", "-"});
      continue;
    }
    for (const Json& usage : workspace.at("usage")) {
      table.Add({Name(workspace.at("name")), Name(usage.at("name")),
                 FormatBytes(usage.at("referenced_bytes")),
                 FormatBytes(usage.at("exclusive_bytes"))});
    }
  }
  PrintTable(table);
}

int RunDf(const StatusOptions& options) {
  const Location widest = FindWidest(options.path);
  Json df = widest.Ask(Access::kRead, MakeRequest(wire::kDf));
  if (options.snapshots) AddUsage(widest, df);
  if (IsJson(options.format)) {
    PrintJson(df);
  } else {
    PrintDf(df, options.snapshots);
    NoteHidden(df);
  }
  return kDone;
}

}  // namespace

void AddStatus(CLI::App& app, Action& action) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* command =
      app.add_subcommand("status", "Show the mount: its store, backend, workspaces and warnings");
  AddMountOption(*command, options->path);
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunStatus(*options); }; });
}

void AddDf(CLI::App& app, Action& action) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* command = app.add_subcommand("df", "Show how much space there is, and what takes it");
  AddMountOption(*command, options->path);
  command->add_flag("--snapshots", options->snapshots,
                    "The sizes of every snapshot, too; with many snapshots this takes a while");
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunDf(*options); }; });
}

}  // namespace ckptfs::cli
