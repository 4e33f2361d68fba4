// ckpt fsck
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

struct FsckOptions {
  std::optional<std::string> path;
  bool repair = false;
  std::string format = "table";
};

int RunFsck(const FsckOptions& options) {
  const Location mount = FindWidest(options.path);
  if (!mount.is_mount_root()) {
    throw Error(EPERM, "check the store", "only a workspace of it can be seen from here",
                "Run this where the mount is");
  }
  const Json request = MakeRequest(wire::kFsck, Json{{"repair", options.repair}});
  Json result;
  try {
    result = mount.Ask(options.repair ? Access::kChange : Access::kRead, request);
  } catch (const Error& error) {
    // The kernel opens nothing for writing on a read-only mount, but a repair may be what it is
    // read-only for. The daemon decides.
    if (!options.repair || error.errno_value() != EROFS) throw;
    result = mount.Ask(Access::kRead, request);
  }
  const Json& problems = result.at("problems");
  if (IsJson(options.format)) {
    PrintJson(result);
  } else {
    for (const Json& line : result.at("repaired")) {
      PrintLine("repaired: " + line.get<std::string>());
    }
    for (const Json& line : problems) PrintLine("problem: " + line.get<std::string>());
    if (problems.empty()) PrintLine("no problems found");
  }
  if (problems.empty()) return kDone;
  FlushOutput();
  throw Error(EIO, "check the store",
              fmt::format("{} problem{} {}", problems.size(), problems.size() == 1 ? "" : "s",
                          options.repair ? "could not be mended" : "found"),
              options.repair ? "" : "'ckpt fsck --repair' mends what can be mended without loss");
}

}  // namespace

void AddFsck(CLI::App& app, Action& action) {
  auto options = std::make_shared<FsckOptions>();
  CLI::App* command =
      app.add_subcommand("fsck", "Compare the catalog with the data, and mend the catalog");
  command->add_option("--mount", options->path, "A path in the mount that is meant")
      ->type_name("PATH");
  command->add_flag("--repair", options->repair, "Mend what can be mended without loss");
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunFsck(*options); }; });
}

}  // namespace ckptfs::cli
