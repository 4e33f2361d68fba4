// ckpt: the command line of ckptfs.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "backend/base/error.h"
#include "tools/ckpt/client.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

// The command that was being parsed, for the hint about its help.
std::string CommandLineSoFar(const CLI::App& app) {
  std::string name = "ckpt";
  for (const CLI::App* command : app.get_subcommands()) name += " " + command->get_name();
  return name;
}

// To people, who may otherwise not look before something fails.
void TellHealth() {
  if (isatty(STDERR_FILENO) == 1 && !HealthHeard().empty()) Note(HealthHeard());
}

int Main(int argc, char** argv) {
  CLI::App app("Checkpoints, rollbacks and forks of the workspaces of a ckptfs mount.", "ckpt");
  app.set_version_flag("--version", "ckpt " CKPTFS_VERSION);
  app.footer(
      "Exit status: 0 done, 1 failed, 2 usage, 3 not found, 4 exists already, 5 busy or pinned,\n"
      "6 no space. See ckpt(1).");
  Action action;
  AddInit(app, action);
  AddCheckpoint(app, action);
  AddList(app, action);
  AddShow(app, action);
  AddStatus(app, action);
  AddDf(app, action);
  AddDiff(app, action);
  AddRollback(app, action);
  AddFork(app, action);
  AddDelete(app, action);
  AddPin(app, action);
  AddUnpin(app, action);
  AddHold(app, action);
  AddRelease(app, action);
  AddCleanup(app, action);
  AddConfig(app, action);
  AddForget(app, action);
  AddRecover(app, action);
  AddGc(app, action);
  AddFsck(app, action);
  AddTemplate(app, action);
  // At most one: a second would replace the first. That one is required is checked below, since this would
  // report it for an unknown command, too.
  app.require_subcommand(0, 1);
  try {
    try {
      app.parse(argc, argv);
    } catch (const CLI::Success& success) {  // --help and --version
      // It is thrown before unknown arguments are reported.
      if (app.remaining_size(true) > 0) throw CLI::ExtrasError(app.remaining(true));
      const int exit_code = app.exit(success);
      FlushOutput();
      return exit_code;
    }
    if (!action) throw CLI::RequiredError("A command");
    const int exit_code = action();
    FlushOutput();
    TellHealth();
    return exit_code;
  } catch (const CLI::ParseError& error) {
    Note(fmt::format("read the command line: {}. See '{} --help'", error.what(),
                     CommandLineSoFar(app)));
    return kUsage;
  } catch (const Error& error) {
    std::fflush(stdout);
    Note(error.what());
    return ExitCodeOf(error);
  } catch (const std::exception& error) {
    std::fflush(stdout);
    Note(error.what());
    return kFailed;
  }
}

}  // namespace
}  // namespace ckptfs::cli

int main(int argc, char** argv) { return ckptfs::cli::Main(argc, argv); }
