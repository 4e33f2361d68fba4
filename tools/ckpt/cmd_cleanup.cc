// ckpt cleanup
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <map>
#include <memory>

#include "backend/base/error.h"
#include "fs/control/control_wire.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/locate.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

// An option that is a keep rule, with its setting.
struct RuleOption {
  const char* option;
  const char* setting;
  const char* value;
  const char* help;
};
constexpr std::array kRuleOptions = {
    RuleOption{"--keep", "keep", "N|SPAN", "The newest N, or those of that span"},
    RuleOption{"--keep-last", "keep.last", "N", "The newest N"},
    RuleOption{"--keep-hourly", "keep.hourly", "N", "The newest of each of the last N hours"},
    RuleOption{"--keep-daily", "keep.daily", "N", "... days"},
    RuleOption{"--keep-weekly", "keep.weekly", "N", "... weeks"},
    RuleOption{"--keep-monthly", "keep.monthly", "N", "... months"},
    RuleOption{"--keep-yearly", "keep.yearly", "N", "... years"},
    RuleOption{"--keep-within", "keep.within", "SPAN",
               "All that are not older, from the newest on"},
    RuleOption{"--keep-within-hourly", "keep.within-hourly", "SPAN", "... of each hour the newest"},
    RuleOption{"--keep-within-daily", "keep.within-daily", "SPAN", "... of each day"},
    RuleOption{"--keep-within-weekly", "keep.within-weekly", "SPAN", "... of each week"},
    RuleOption{"--keep-within-monthly", "keep.within-monthly", "SPAN", "... of each month"},
    RuleOption{"--keep-within-yearly", "keep.within-yearly", "SPAN", "... of each year"},
};

struct CleanupOptions {
  std::optional<std::string> workspace;
  std::array<std::optional<std::string>, kRuleOptions.size()> rules;
  bool dry_run = false;
  std::string format = "table";
};

// The totals of all workspaces.
struct CleanupResult {
  Json items = Json::array();
  uint64_t removed = 0;
  int exit_code = kDone;
};

Json ArgumentsOf(const CleanupOptions& options) {
  Json rules = Json::object();
  for (size_t i = 0; i < kRuleOptions.size(); ++i) {
    const std::optional<std::string>& value = options.rules.at(i);
    if (value) rules[kRuleOptions.at(i).setting] = wire::FromBytes(*value);
  }
  Json args{{"dry_run", options.dry_run}};
  if (!rules.empty()) args["rules"] = std::move(rules);
  return args;
}

void CleanUpOne(const Location& place, const CleanupOptions& options, CleanupResult& result) {
  AnswerHandlers handlers;
  handlers.items = [&result](const Json& items) {
    for (const Json& item : items) {
      if (item.at("error").is_string()) Note(item.at("error").get<std::string>());
      result.items.push_back(item);
    }
  };
  const Json end = place.Ask(options.dry_run ? Access::kRead : Access::kChange,
                             MakeRequest(wire::kCleanup, ArgumentsOf(options)), handlers);
  result.removed += end.at("removed").get<uint64_t>();
  if (end.at("failed").get<uint64_t>() != 0) result.exit_code = kFailed;
}

// A workspace that cannot be cleaned up is reported, and the rest continue. One that is gone is not an error.
void CleanUpAll(const Location& mount_root, const CleanupOptions& options, CleanupResult& result) {
  const Json status = mount_root.Ask(Access::kRead, MakeRequest(wire::kStatus));
  for (const Json& workspace : status.at("workspaces")) {
    try {
      CleanUpOne(OpenWorkspace(mount_root, workspace.at("name").get<std::string>()), options,
                 result);
    } catch (const Error& error) {
      if (error.errno_value() == ENOENT) continue;
      Note(error.what());
      if (result.exit_code == kDone) result.exit_code = ExitCodeOf(error);
    }
  }
}

std::string ActionOf(const Json& item) {
  return item.at("error").is_string() ? "FAILED" : item.at("action").get<std::string>();
}

std::string ReasonsOf(const Json& item) {
  return fmt::format("{}", fmt::join(item.at("reasons").get<std::vector<std::string>>(), ", "));
}

void PrintTable(const CleanupResult& result, bool with_workspace) {
  std::vector<std::string> headings = {"NAME", "ACTION", "REASONS"};
  if (with_workspace) headings.insert(headings.begin(), "WORKSPACE");
  Table table(std::move(headings));
  for (const Json& item : result.items) {
    std::vector<std::string> row = {ShellQuote(item.at("name").get<std::string>()), ActionOf(item),
                                    ReasonsOf(item)};
    if (with_workspace) {
      row.insert(row.begin(), ShellQuote(item.at("workspace").get<std::string>()));
    }
    table.Add(std::move(row));
  }
  PrintTable(table);
}

int RunCleanup(const CleanupOptions& options) {
  const std::optional<Location> place = FindWorkspaceIfSaid(options.workspace);
  CleanupResult result;
  if (place) {
    CleanUpOne(*place, options, result);
  } else {
    CleanUpAll(FindWidest(), options, result);
  }
  if (IsJson(options.format)) {
    PrintJson(result.items);
    return result.exit_code;
  }
  PrintTable(result, !place);
  if (!options.dry_run) PrintLine(fmt::format("{} removed", result.removed));
  return result.exit_code;
}

}  // namespace

void AddCleanup(CLI::App& app, Action& action) {
  auto options = std::make_shared<CleanupOptions>();
  CLI::App* command = app.add_subcommand(
      "cleanup",
      "Delete the checkpoints that no rule keeps, of a workspace, or of all where none is meant");
  AddWorkspaceOption(*command, options->workspace);
  for (size_t i = 0; i < kRuleOptions.size(); ++i) {
    const RuleOption& rule = kRuleOptions.at(i);
    command->add_option(rule.option, options->rules.at(i), rule.help)
        ->type_name(rule.value)
        ->group("Rules, in place of those that are set");
  }
  command->add_flag("--dry-run", options->dry_run, "Only tell what would go, and why");
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunCleanup(*options); }; });
}

}  // namespace ckptfs::cli
