// ckpt list, ckpt show
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "backend/base/error.h"
#include "fs/control/control_wire.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/locate.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

struct ListOptions {
  std::optional<std::string> workspace;
  std::string snapshot;
  std::string format = "table";
};

void AppendSnapshots(const Location& place, Json& all) {
  AnswerHandlers handlers;
  handlers.items = [&all](const Json& items) {
    for (const Json& item : items) all.push_back(item);
  };
  place.Ask(Access::kRead, MakeRequest(wire::kList), handlers);
}

// The snapshots of every workspace of a mount. Each workspace is asked through its own control file: so the
// kernel decides which of them this user may read. A workspace that is removed meanwhile is not an error.
Json ListAll(const Location& mount_root) {
  Json all = Json::array();
  const Json status = mount_root.Ask(Access::kRead, MakeRequest(wire::kStatus));
  for (const Json& workspace : status.at("workspaces")) {
    const std::string name = workspace.at("name").get<std::string>();
    try {
      AppendSnapshots(OpenWorkspace(mount_root, name), all);
    } catch (const Error& error) {
      if (error.errno_value() == ENOENT) continue;
      if (error.errno_value() != EACCES) throw;
      Note(fmt::format("workspace {} is left out: you may not read it", ShellQuote(name)));
    }
  }
  return all;
}

std::string FirstLine(const std::string& text) {
  const size_t newline = text.find('\n');
  return text.substr(0, newline) + (newline == std::string::npos ? "" : " ...");
}

std::string NameOr(const Json& name, const char* otherwise) {
  return name.is_string() ? ShellQuote(name.get<std::string>()) : otherwise;
}

// Why it cannot be deleted, in a word.
std::string ProtectionOf(const Json& snapshot) {
  if (snapshot.at("pinned").get<bool>()) return "yes";
  return snapshot.at("holds").empty() ? "no" : "held";
}

void PrintTable(const Json& snapshots, bool with_workspace) {
  std::vector<std::string> headings = {"NAME",   "CREATED", "KIND",   "STATE",
                                       "PINNED", "PARENT",  "MESSAGE"};
  if (with_workspace) headings.insert(headings.begin(), "WORKSPACE");
  Table table(std::move(headings));
  const size_t name = with_workspace ? 1 : 0;
  table.MayShorten(name + 6, 8);  // the message
  table.MayShorten(name + 5, kNameColumnsMin);
  for (size_t column = name + 1; column-- > 0;) table.MayShorten(column, kNameColumnsMin);
  for (const Json& snapshot : snapshots) {
    std::vector<std::string> row = {ShellQuote(snapshot.at("name").get<std::string>()),
                                    FormatTime(snapshot.at("created").get<std::string>()),
                                    snapshot.at("kind").get<std::string>(),
                                    snapshot.at("missing").get<bool>() ? "MISSING" : "ok",
                                    ProtectionOf(snapshot),
                                    NameOr(snapshot.at("parent"), "-"),
                                    FirstLine(snapshot.at("message").get<std::string>())};
    if (with_workspace) {
      row.insert(row.begin(), ShellQuote(snapshot.at("workspace").get<std::string>()));
    }
    table.Add(std::move(row));
  }
  PrintTable(table);
}

int RunList(const ListOptions& options) {
  const std::optional<Location> place = FindWorkspaceIfSaid(options.workspace);
  Json snapshots = Json::array();
  if (place) {
    AppendSnapshots(*place, snapshots);
  } else {
    snapshots = ListAll(FindWidest());
  }
  if (IsJson(options.format)) {
    PrintJson(snapshots);
  } else {
    PrintTable(snapshots, !place);
  }
  return kDone;
}

std::string SizeLine(const Json& bytes) {
  if (!bytes.is_number_unsigned()) return "-";
  return fmt::format("{} ({} bytes)", FormatBytes(bytes), bytes.get<uint64_t>());
}

// The daemon may be too old to report it.
std::string MomentLine(const Json& snapshot) {
  auto moment = snapshot.value("moment", std::string("unknown"));
  const auto reason = snapshot.find("moment_reason");
  if (reason == snapshot.end() || !reason->is_string()) return moment;
  return moment + ": " + reason->get<std::string>();
}

// The number of files that were open for writing, then each recorded one.
void PrintOpenWriters(const Json& snapshot) {
  constexpr char kTitle[] = "open for writing";
  const Json& total = snapshot.at("open_for_writing_total");
  if (!total.is_number()) {
    PrintLine(fmt::format("{} not recorded", kTitle));
    return;
  }
  const Json& writers = snapshot.at("open_for_writing");
  PrintLine(fmt::format("{} {}", kTitle, total.get<uint64_t>()));
  for (const Json& writer : writers) {
    const std::string path = wire::ToBytes(writer.at("path"), "read a path");
    const std::string command = wire::ToBytes(writer.at("command"), "read a command");
    const auto pid = writer.at("pid").get<pid_t>();
    PrintLine(fmt::format("  {}  {}", path.empty() ? "(name not known)" : QuoteName(path),
                          pid == 0 ? "by a process that could not be seen"
                                   : fmt::format("pid {} ({})", pid, command)));
  }
  const uint64_t more = total.get<uint64_t>() - writers.size();
  if (more > 0) PrintLine(fmt::format("  and {} more", more));
}

// The files that were open but nameless, by their last path.
void PrintUnlinkedFiles(const Json& snapshot) {
  for (const Json& file : snapshot.at("unlinked_files")) {
    const std::string path = wire::ToBytes(file.at("path"), "read a path");
    PrintLine(fmt::format("  {}  {}", path.empty() ? "(name not known)" : QuoteName(path),
                          FormatBytes(file.at("size_bytes"))));
  }
}

int RunShow(const ListOptions& options) {
  const Location place = FindWorkspace(options.workspace);
  const Json snapshot =
      place.Ask(Access::kRead,
                MakeRequest(wire::kShow, Json{{"snapshot", wire::FromBytes(options.snapshot)}}));
  if (IsJson(options.format)) {
    PrintJson(snapshot);
    return kDone;
  }
  const auto line = [](const char* title, const std::string& value) {
    PrintLine(fmt::format("{:<15} {}", title, value));
  };
  line("workspace", NameOr(snapshot.at("workspace"), "-"));
  line("name", NameOr(snapshot.at("name"), "-"));
  line("id", NameOr(snapshot.at("id"), "-"));
  line("created", NameOr(snapshot.at("created"), "-"));
  line("kind", NameOr(snapshot.at("kind"), "-"));
  line("state", snapshot.at("missing").get<bool>() ? "MISSING: its data is gone" : "ok");
  line("moment", MomentLine(snapshot));
  line("pinned", snapshot.at("pinned").get<bool>() ? "yes" : "no");
  const auto holds = snapshot.at("holds").get<std::vector<std::string>>();
  if (!holds.empty()) line("held", fmt::format("{}", fmt::join(holds, ", ")));
  line("parent", NameOr(snapshot.at("parent"), "-"));
  line("unlinked, open", fmt::format("{} files", snapshot.at("unlinked_open").get<int64_t>()));
  PrintUnlinkedFiles(snapshot);
  line("referenced", SizeLine(snapshot.at("referenced_bytes")));
  line("exclusive", SizeLine(snapshot.at("exclusive_bytes")));
  line("metadata", snapshot.at("metadata").dump(-1, ' ', false, Json::error_handler_t::replace));
  line("message", snapshot.at("message").get<std::string>());
  PrintOpenWriters(snapshot);
  return kDone;
}

}  // namespace

void AddList(CLI::App& app, Action& action) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* command = app.add_subcommand(
      "list", "List the snapshots of a workspace, or of all where none is meant, oldest first");
  AddWorkspaceOption(*command, options->workspace);
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunList(*options); }; });
}

void AddShow(CLI::App& app, Action& action) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* command =
      app.add_subcommand("show", "Show all there is to know about a snapshot, with its sizes");
  AddWorkspaceOption(*command, options->workspace);
  command->add_option("-s,--snapshot", options->snapshot, "Its name; latest: the newest checkpoint")
      ->type_name("NAME")
      ->required();
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunShow(*options); }; });
}

}  // namespace ckptfs::cli
