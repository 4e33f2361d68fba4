// ckpt rollback
#include <fmt/format.h>

#include <memory>

#include "fs/control/control_wire.h"
#include "tools/ckpt/changes.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/locate.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

struct RollbackOptions {
  std::optional<std::string> workspace;
  std::optional<std::string> snapshot;
  std::optional<uint64_t> newest;
  bool preview = false;
  bool force = false;
  std::string format = "table";
};

Json ArgsOf(const RollbackOptions& options) {
  Json args = Json::object();
  if (options.snapshot) args["snapshot"] = wire::FromBytes(*options.snapshot);
  if (options.newest) args["newest"] = *options.newest;
  return args;
}

int Preview(const RollbackOptions& options, const Location& place) {
  ChangePrinter printer(IsJson(options.format));
  AnswerHandlers handlers;
  handlers.items = [&printer](const Json& items) { printer.Add(items); };
  const Json result =
      place.Ask(Access::kRead, MakeRequest(wire::kPreview, ArgsOf(options)), handlers);
  printer.Finish(result);
  if (!IsJson(options.format) && printer.count() == 0 &&
      result.value(wire::kHidden, size_t{0}) + result.value(wire::kTooLong, size_t{0}) == 0) {
    PrintLine(fmt::format("nothing would change: {} is as {}", ShellQuote(place.workspace),
                          ShellQuote(result.at("snapshot").get<std::string>())));
  }
  return kDone;
}

int RunRollback(const RollbackOptions& options) {
  const Location place = FindWorkspace(options.workspace);
  if (options.preview) return Preview(options, place);
  Json args = ArgsOf(options);
  args["force"] = options.force;
  const Json result = place.Ask(Access::kChange, MakeRequest(wire::kRollback, args));
  if (IsJson(options.format)) {
    PrintJson(result);
    return kDone;
  }
  const auto text = [&result](const char* field) {
    return ShellQuote(result.at(field).get<std::string>());
  };
  std::string before = "the state before is not kept (undo=off)";
  if (result.at("kept").is_string()) {
    before = "the state before is kept as " + text("kept");
  } else if (result.at("equal_to").is_string()) {
    before = "the state before was that of " + text("equal_to");
  }
  PrintLine(fmt::format("rolled back {} to {}; {}", text("workspace"), text("snapshot"), before));
  for (const Json& path : result.value("unmounted", Json::array())) {
    PrintLine(fmt::format("unmounted {}", ShellQuote(wire::ToBytes(path, "read a path"))));
  }
  return kDone;
}

}  // namespace

void AddRollback(CLI::App& app, Action& action) {
  auto options = std::make_shared<RollbackOptions>();
  CLI::App* command = app.add_subcommand(
      "rollback", "Give a workspace the state of a snapshot; the state before is kept");
  AddWorkspaceOption(*command, options->workspace);
  CLI::Option* snapshot = command
                              ->add_option("-s,--snapshot", options->snapshot,
                                           "The snapshot; latest: the newest checkpoint")
                              ->type_name("NAME");
  command
      ->add_option("-n,--newest", options->newest,
                   "The N-th newest checkpoint, from 1; what rollbacks kept (pre-rollback-...) "
                   "does not count")
      ->type_name("N")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 31))
      ->excludes(snapshot);
  command->add_flag("--preview", options->preview,
                    "Only show what would change: + would come, - would go, M, R old -> new");
  command->add_flag(
      "--force", options->force,
      "Even if files are open for writing: they go on in the state that is kept; and if "
      "something is mounted in the workspace: it is unmounted");
  AddFormatOption(*command, options->format);
  command->callback([options, &action] {
    if (!options->snapshot && !options->newest) throw CLI::RequiredError("--snapshot or --newest");
    action = [options] { return RunRollback(*options); };
  });
}

}  // namespace ckptfs::cli
