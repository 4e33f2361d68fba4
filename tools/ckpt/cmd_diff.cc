// ckpt diff
#include <memory>

#include "fs/control/control_wire.h"
#include "tools/ckpt/changes.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/locate.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

struct DiffOptions {
  std::optional<std::string> workspace;
  std::string from;
  std::optional<std::string> to;
  std::string format = "table";
};

int RunDiff(const DiffOptions& options) {
  Json args{{"from", wire::FromBytes(options.from)}};
  if (options.to) args["to"] = wire::FromBytes(*options.to);
  const Location place = FindWorkspace(options.workspace);
  ChangePrinter printer(IsJson(options.format));
  AnswerHandlers handlers;
  handlers.items = [&printer](const Json& items) { printer.Add(items); };
  printer.Finish(place.Ask(Access::kRead, MakeRequest(wire::kDiff, args), handlers));
  return kDone;
}

}  // namespace

void AddDiff(CLI::App& app, Action& action) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* command = app.add_subcommand(
      "diff", "Show what changed: + added, - removed, M modified, R old -> new renamed");
  AddWorkspaceOption(*command, options->workspace);
  command
      ->add_option("-f,--from", options->from,
                   "The snapshot to start from; latest: the newest checkpoint")
      ->type_name("NAME")
      ->required();
  command->add_option("-t,--to", options->to, "The snapshot to compare with; else the live tree")
      ->type_name("NAME");
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunDiff(*options); }; });
}

}  // namespace ckptfs::cli
