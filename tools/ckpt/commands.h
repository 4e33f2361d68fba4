// The commands of `ckpt`. Each Add function declares its command line and, if the command line names this
// command, sets `action` to what is to be run: parsing and running fail differently.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>

namespace ckptfs::cli {

using Action = std::function<int()>;

void AddInit(CLI::App& app, Action& action);
void AddCheckpoint(CLI::App& app, Action& action);
void AddList(CLI::App& app, Action& action);
void AddShow(CLI::App& app, Action& action);
void AddStatus(CLI::App& app, Action& action);
void AddDf(CLI::App& app, Action& action);
void AddDiff(CLI::App& app, Action& action);
void AddRollback(CLI::App& app, Action& action);
void AddFork(CLI::App& app, Action& action);
void AddDelete(CLI::App& app, Action& action);
void AddPin(CLI::App& app, Action& action);
void AddUnpin(CLI::App& app, Action& action);
void AddHold(CLI::App& app, Action& action);
void AddRelease(CLI::App& app, Action& action);
void AddCleanup(CLI::App& app, Action& action);
void AddConfig(CLI::App& app, Action& action);
void AddForget(CLI::App& app, Action& action);
void AddRecover(CLI::App& app, Action& action);
void AddGc(CLI::App& app, Action& action);
void AddFsck(CLI::App& app, Action& action);
void AddTemplate(CLI::App& app, Action& action);

// Options shared by several commands.
void AddWorkspaceOption(CLI::App& command, std::optional<std::string>& workspace);
void AddFormatOption(CLI::App& command, std::string& format);
inline bool IsJson(const std::string& format) { return format == "json"; }

}  // namespace ckptfs::cli
