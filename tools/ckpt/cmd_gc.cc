// ckpt gc
#include <fmt/format.h>

#include <array>
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

struct GcOptions {
  std::optional<std::string> path;
  bool dry_run = false;
  std::string format = "table";
};

// "12min" or "3d": in the largest unit of which there is one.
std::string FormatAge(int64_t seconds) {
  struct Unit {
    int64_t seconds;
    const char* name;
  };
  constexpr std::array kUnits = {Unit{86400, "d"}, Unit{3600, "h"}, Unit{60, "min"}};
  for (const Unit& unit : kUnits) {
    if (seconds >= unit.seconds) return fmt::format("{}{}", seconds / unit.seconds, unit.name);
  }
  return fmt::format("{}s", seconds);
}

void PrintItems(const Json& items) {
  Table table({"NAME", "KIND", "ACTION", "BYTES", "AGE", "REASONS"});
  table.AlignRight(3);
  table.AlignRight(4);
  for (const Json& item : items) {
    const auto reasons = item.at("reasons").get<std::vector<std::string>>();
    table.Add({item.at("name").get<std::string>(), item.at("kind").get<std::string>(),
               item.at("error").is_string() ? "FAILED" : item.at("action").get<std::string>(),
               std::to_string(item.at("bytes").get<uint64_t>()),
               FormatAge(item.at("age_seconds").get<int64_t>()),
               fmt::format("{}", fmt::join(reasons, ", "))});
  }
  PrintTable(table);
}

int RunGc(const GcOptions& options) {
  const Location mount = FindWidest(options.path);
  if (!mount.is_mount_root()) {
    throw Error(EPERM, "remove what nothing refers to", "only a workspace can be seen from here",
                "Run this where the mount is");
  }
  Json items = Json::array();
  AnswerHandlers handlers;
  handlers.items = [&items](const Json& some) {
    for (const Json& item : some) {
      if (item.at("error").is_string()) Note(item.at("error").get<std::string>());
      items.push_back(item);
    }
  };
  Json result = mount.Ask(options.dry_run ? Access::kRead : Access::kChange,
                          MakeRequest(wire::kGc, Json{{"dry_run", options.dry_run}}), handlers);
  const bool has_failed = result.at("failed").get<uint64_t>() != 0;
  if (IsJson(options.format)) {
    result["items"] = std::move(items);
    PrintJson(result);
    return has_failed ? kFailed : kDone;
  }
  if (!items.empty()) PrintItems(items);
  PrintLine(fmt::format("{} {}, {}", result.at("removed").get<uint64_t>(),
                        options.dry_run ? "to be removed" : "removed",
                        FormatBytes(result.at("removed_bytes"))));
  if (const auto bytes = result.at("returned_bytes").get<uint64_t>(); bytes > 0) {
    PrintLine(fmt::format("{} given back to the disk below the store", FormatBytes(bytes)));
  }
  return has_failed ? kFailed : kDone;
}

}  // namespace

void AddGc(CLI::App& app, Action& action) {
  auto options = std::make_shared<GcOptions>();
  CLI::App* command = app.add_subcommand(
      "gc", "Remove what nothing refers to, and give freed blocks back to the disk below");
  command->add_option("--mount", options->path, "A path in the mount that is meant")
      ->type_name("PATH");
  command->add_flag("--dry-run", options->dry_run, "Only tell what would go, and why");
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunGc(*options); }; });
}

}  // namespace ckptfs::cli
