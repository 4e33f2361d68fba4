// ckpt checkpoint
#include <fmt/format.h>

#include <memory>

#include "fs/control/control_wire.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/locate.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

struct CheckpointOptions {
  std::optional<std::string> workspace;
  std::optional<std::string> name;
  std::string message;
  std::optional<std::string> metadata;
  bool pin = false;
  bool if_changed = false;
  std::string format = "table";
};

// The checkpoint is made all the same: the exit status stays 0.
void NoteMoment(const Json& made) {
  if (made.value("moment", "one") == "one" || !made.at("moment_reason").is_string()) return;
  Note(fmt::format(
      "checkpoint {} is {}, not one moment: {}. If its files have to fit together, take another "
      "when "
      "that is over",
      ShellQuote(made.at("workspace").get<std::string>() + "/" +
                 made.at("name").get<std::string>()),
      made.at("moment").get<std::string>(), made.at("moment_reason").get<std::string>()));
}

int RunCheckpoint(const CheckpointOptions& options) {
  Json args{{"message", wire::FromBytes(options.message)},
            {"pinned", options.pin},
            {"if_changed", options.if_changed}};
  if (options.name) args["name"] = wire::FromBytes(*options.name);
  if (options.metadata) args["metadata"] = wire::FromBytes(*options.metadata);
  const Location place = FindWorkspace(options.workspace);
  const Json result = place.Ask(Access::kChange, MakeRequest(wire::kCheckpoint, args));
  NoteMoment(result);
  if (IsJson(options.format)) {
    PrintJson(result);
    return kDone;
  }
  const auto full_name = [&result](const char* field) {
    return result.at("workspace").get<std::string>() + "/" + result.at(field).get<std::string>();
  };
  if (result.contains("unchanged_since")) {
    PrintLine("nothing changed since " + ShellQuote(full_name("unchanged_since")));
  } else {
    PrintFullName(full_name("name"));
  }
  return kDone;
}

}  // namespace

void AddCheckpoint(CLI::App& app, Action& action) {
  auto options = std::make_shared<CheckpointOptions>();
  CLI::App* command = app.add_subcommand(
      "checkpoint", "Keep the state of a workspace as a snapshot, and print the snapshot's name");
  AddWorkspaceOption(*command, options->workspace);
  command->add_option("-s,--snapshot", options->name, "The snapshot's name; else ckpt-<UTC time>")
      ->type_name("NAME");
  command->add_option("-m,--message", options->message, "What to remember about it")
      ->type_name("TEXT");
  command->add_option("--metadata", options->metadata, "A JSON object to keep with it")
      ->type_name("JSON");
  command->add_flag("--pin", options->pin, "Pin it: it cannot be deleted until it is unpinned");
  command->add_flag("--if-changed", options->if_changed,
                    "Do nothing if nothing has changed since the newest state kept");
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunCheckpoint(*options); }; });
}

}  // namespace ckptfs::cli
