#include "tools/ckpt/commands.h"

namespace ckptfs::cli {

void AddWorkspaceOption(CLI::App& command, std::optional<std::string>& workspace) {
  command
      .add_option("-w,--workspace", workspace,
                  "The workspace: its name, or any path in it; else that of the current directory")
      ->type_name("NAME|PATH")
      ->take_last();
}

void AddFormatOption(CLI::App& command, std::string& format) {
  command.add_option("--format", format, "How to print: table, for people, or json, for scripts")
      ->check(CLI::IsMember({"table", "json"}))
      ->type_name("table|json")
      ->capture_default_str();
}

}  // namespace ckptfs::cli
