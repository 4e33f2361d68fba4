// ckpt forget
#include <fmt/format.h>

#include <memory>

#include "fs/control/control_wire.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/consent.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/locate.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

struct ForgetOptions {
  std::string workspace;
  bool yes = false;
  std::string format = "table";
};

int RunForget(const ForgetOptions& options) {
  const Location place = FindWorkspace(options.workspace);
  if (!options.yes) RequireConsentToForget(place);
  const Json result = place.Ask(Access::kChange, MakeRequest(wire::kForget));
  if (IsJson(options.format)) {
    PrintJson(result);
  } else {
    PrintLine(fmt::format("forgot {} and its {} snapshots",
                          ShellQuote(result.at("workspace").get<std::string>()),
                          result.at("snapshots").get<uint64_t>()));
  }
  return kDone;
}

}  // namespace

void AddForget(CLI::App& app, Action& action) {
  auto options = std::make_shared<ForgetOptions>();
  CLI::App* command =
      app.add_subcommand("forget", "Remove a workspace for good, with all its files and snapshots");
  command->add_option("W", options->workspace, "The workspace: its name, or any path in it")
      ->type_name("NAME|PATH")
      ->required();
  command->add_flag("--yes", options->yes, "Do not ask");
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunForget(*options); }; });
}

}  // namespace ckptfs::cli
