// ckpt fork, ckpt delete, ckpt pin, ckpt unpin, ckpt hold, ckpt release
#include <fmt/format.h>

#include <memory>

#include "fs/control/control_wire.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/locate.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

struct SnapshotOptions {
  std::optional<std::string> workspace;
  std::string snapshot;
  std::string new_workspace;
  std::string tag;
  bool force = false;
};

Json AskAboutSnapshot(const SnapshotOptions& options, const char* command, Json args) {
  args["snapshot"] = wire::FromBytes(options.snapshot);
  const Location place = FindWorkspace(options.workspace);
  return place.Ask(Access::kChange, MakeRequest(command, std::move(args)));
}

std::string Text(const Json& result, const char* field) {
  return ShellQuote(result.at(field).get<std::string>());
}

std::string FullName(const Json& result) {
  return ShellQuote(result.at("workspace").get<std::string>() + "/" +
                    result.at("snapshot").get<std::string>());
}

int RunFork(const SnapshotOptions& options) {
  const Json result = AskAboutSnapshot(options, wire::kFork,
                                       Json{{"name", wire::FromBytes(options.new_workspace)}});
  PrintLine(fmt::format("{} starts as {}", Text(result, "workspace"), Text(result, "snapshot")));
  return kDone;
}

int RunDelete(const SnapshotOptions& options) {
  const Json result = AskAboutSnapshot(options, wire::kDelete, Json{{"force", options.force}});
  PrintLine("deleted " + FullName(result));
  return kDone;
}

int RunPin(const SnapshotOptions& options, bool pinned) {
  const Json result = AskAboutSnapshot(options, wire::kPin, Json{{"pinned", pinned}});
  PrintLine(fmt::format("{} {}", pinned ? "pinned" : "unpinned", FullName(result)));
  return kDone;
}

int RunHold(const SnapshotOptions& options, bool held) {
  const Json result = AskAboutSnapshot(options, wire::kHold,
                                       Json{{"tag", wire::FromBytes(options.tag)}, {"held", held}});
  PrintLine(
      fmt::format("{} {}: {}", held ? "held" : "released", FullName(result), Text(result, "tag")));
  return kDone;
}

CLI::App* AddSnapshotCommand(CLI::App& app, const char* name, const char* description,
                             SnapshotOptions& options) {
  CLI::App* command = app.add_subcommand(name, description);
  AddWorkspaceOption(*command, options.workspace);
  command->add_option("-s,--snapshot", options.snapshot, "The snapshot")
      ->type_name("NAME")
      ->required();
  return command;
}

}  // namespace

void AddFork(CLI::App& app, Action& action) {
  auto options = std::make_shared<SnapshotOptions>();
  CLI::App* command = AddSnapshotCommand(
      app, "fork", "Make a new writable workspace that starts as a snapshot", *options);
  command->add_option("NEW", options->new_workspace, "The new workspace's name")->required();
  command->callback([options, &action] { action = [options] { return RunFork(*options); }; });
}

void AddDelete(CLI::App& app, Action& action) {
  auto options = std::make_shared<SnapshotOptions>();
  CLI::App* command = AddSnapshotCommand(app, "delete", "Delete a snapshot for good", *options);
  command->add_flag("--force", options->force, "Even one whose data is missing");
  command->callback([options, &action] { action = [options] { return RunDelete(*options); }; });
}

void AddPin(CLI::App& app, Action& action) {
  auto options = std::make_shared<SnapshotOptions>();
  CLI::App* command = AddSnapshotCommand(
      app, "pin", "Protect a snapshot: it cannot be deleted until it is unpinned", *options);
  command->callback([options, &action] { action = [options] { return RunPin(*options, true); }; });
}

void AddUnpin(CLI::App& app, Action& action) {
  auto options = std::make_shared<SnapshotOptions>();
  CLI::App* command =
      AddSnapshotCommand(app, "unpin", "Take the protection of a snapshot away", *options);
  command->callback([options, &action] { action = [options] { return RunPin(*options, false); }; });
}

void AddHold(CLI::App& app, Action& action) {
  auto options = std::make_shared<SnapshotOptions>();
  CLI::App* command = AddSnapshotCommand(
      app, "hold", "Protect a snapshot by a tag: it cannot be deleted until all are released",
      *options);
  command->add_option("TAG", options->tag, "Who needs it")->required();
  command->callback([options, &action] { action = [options] { return RunHold(*options, true); }; });
}

void AddRelease(CLI::App& app, Action& action) {
  auto options = std::make_shared<SnapshotOptions>();
  CLI::App* command = AddSnapshotCommand(app, "release", "Take a hold away", *options);
  command->add_option("TAG", options->tag, "The hold's tag")->required();
  command->callback(
      [options, &action] { action = [options] { return RunHold(*options, false); }; });
}

}  // namespace ckptfs::cli
