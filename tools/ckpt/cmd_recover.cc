// ckpt recover
#include <fmt/format.h>

#include <memory>

#include "backend/base/text.h"
#include "fs/control/control_wire.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/output.h"
#include "tools/ckpt/recovery.h"

namespace ckptfs::cli {
namespace {

struct RecoverOptions {
  RecoveryRequest request;
  std::string format = "table";
};

Json ToJson(const Recovered& done) {
  Json json{{"path", wire::FromBytes(done.path)},
            {"workspace", done.workspace},
            {"snapshot", done.snapshot},
            {"forgotten", done.forgotten.has_value() || done.is_workspace_gone},
            {"changed", done.changed.empty() ? Json() : Json(done.changed)}};
  if (!done.copied) return json;
  json["directories"] = done.copied->directories;
  json["files"] = done.copied->files;
  json["hard_links"] = done.copied->hard_links;
  json["others"] = done.copied->others;
  json["copied_bytes"] = done.copied->copied_bytes;
  json["shared_bytes"] = done.copied->shared_bytes;
  json["attributes_left_out"] = done.copied->attributes_left_out;
  return json;
}

void PrintText(const Recovered& done) {
  std::string what = "an earlier run had copied it";
  if (done.copied) {
    what =
        fmt::format("{} files, {} copied, {} shared", done.copied->files,
                    FormatBytes(done.copied->copied_bytes), FormatBytes(done.copied->shared_bytes));
  }
  PrintLine(fmt::format("{} is a plain directory again, with the state of {}: {}",
                        ShellQuote(done.path), ShellQuote(done.workspace + "/" + done.snapshot),
                        what));
  if (done.copied && done.copied->attributes_left_out > 0) {
    PrintLine(fmt::format("{} attributes that its filesystem does not take were left out",
                          done.copied->attributes_left_out));
  }
  const std::string workspace = ShellQuote(done.workspace);
  if (done.forgotten) {
    PrintLine(fmt::format("forgot {} and its {} snapshots", workspace, *done.forgotten));
  } else if (done.is_workspace_gone) {
    PrintLine(fmt::format("workspace {} is gone", workspace));
  } else {
    PrintLine(fmt::format("workspace {0} stays, with its snapshots; to remove it: ckpt forget {0}",
                          workspace));
  }
}

int RunRecover(const RecoverOptions& options) {
  const Recovered done = Recover(options.request);
  if (IsJson(options.format)) {
    PrintJson(ToJson(done));
  } else {
    PrintText(done);
  }
  if (done.changed.empty()) return kDone;
  FlushOutput();
  Note(fmt::format(
      "written to workspace {} after the copy, and only there: {}. Compare: ckpt diff "
      "-w {} -f {}",
      done.workspace, done.changed, ShellQuote(done.workspace), ShellQuote(done.snapshot)));
  return kFailed;
}

}  // namespace

void AddRecover(CLI::App& app, Action& action) {
  auto options = std::make_shared<RecoverOptions>();
  RecoveryRequest& request = options->request;
  CLI::App* command = app.add_subcommand(
      "recover", "Undo init: PATH, a symlink to a workspace, becomes a plain directory again");
  command->add_option("PATH", request.path, "The symlink that init has made")->required();
  command->add_option("--mount", request.mount, "Only if it leads into the mount of this path")
      ->type_name("PATH");
  command->add_flag("--forget", request.forget,
                    "Then remove the workspace, with all its snapshots, for good");
  command->add_flag("--yes", request.yes, "Do not ask before --forget");
  command->add_flag(
      "--force", request.force,
      "Even if programs use the workspace: they go on there, and not in the directory");
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunRecover(*options); }; });
}

}  // namespace ckptfs::cli
