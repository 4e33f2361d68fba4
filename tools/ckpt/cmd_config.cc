// ckpt config
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

struct ConfigOptions {
  std::optional<std::string> workspace;
  std::string key;
  std::optional<std::string> value;
  std::string unset;
  bool list = false;
  bool store = false;
  std::string format = "table";
};

// Whose settings: a workspace's, or the store's, which the mount root stands for.
Location PlaceOf(const ConfigOptions& options) {
  if (options.store) return FindMountRoot(std::nullopt, "read or set what holds for the store");
  std::optional<Location> workspace = FindWorkspaceIfSaid(options.workspace);
  return workspace ? *std::move(workspace) : FindWidest();
}

std::string ValueOf(const Json& setting) {
  const Json& value = setting.at("value");
  return value.is_string() ? value.get<std::string>() : "-";
}

void PrintSettings(const Json& settings) {
  Table table({"KEY", "VALUE", "ORIGIN"});
  for (const Json& setting : settings) {
    table.Add({setting.at("key").get<std::string>(), ValueOf(setting),
               setting.at("origin").get<std::string>()});
  }
  PrintTable(table);
}

int RunList(const Location& place, const ConfigOptions& options) {
  const Json settings = place.Ask(Access::kRead, MakeRequest(wire::kSettings));
  if (IsJson(options.format)) {
    PrintJson(settings);
  } else {
    PrintSettings(settings);
  }
  return kDone;
}

int RunGet(const Location& place, const ConfigOptions& options) {
  const Json settings = place.Ask(
      Access::kRead, MakeRequest(wire::kSettings, Json{{"key", wire::FromBytes(options.key)}}));
  const Json& setting = settings.at(0);
  if (IsJson(options.format)) {
    PrintJson(setting);
    return kDone;
  }
  if (setting.at("value").is_null()) {
    throw Error(ENOENT, "read " + options.key, "it is not set",
                fmt::format("Set it with 'ckpt config {} VALUE'", options.key));
  }
  PrintLine(ValueOf(setting));
  return kDone;
}

int RunSet(const Location& place, const ConfigOptions& options) {
  Json args{{"key", wire::FromBytes(options.value ? options.key : options.unset)},
            {"value", nullptr}};
  if (options.value) args["value"] = wire::FromBytes(*options.value);
  const Json setting = place.Ask(Access::kChange, MakeRequest(wire::kSetSetting, std::move(args)));
  if (IsJson(options.format)) {
    PrintJson(setting);
    return kDone;
  }
  PrintLine(fmt::format("{} is {} ({})", setting.at("key").get<std::string>(),
                        setting.at("value").is_null() ? "not set" : ValueOf(setting),
                        setting.at("origin").get<std::string>()));
  return kDone;
}

int RunConfig(const ConfigOptions& options) {
  const Location place = PlaceOf(options);
  if (options.value || !options.unset.empty()) return RunSet(place, options);
  return options.key.empty() ? RunList(place, options) : RunGet(place, options);
}

}  // namespace

void AddConfig(CLI::App& app, Action& action) {
  auto options = std::make_shared<ConfigOptions>();
  CLI::App* command = app.add_subcommand(
      "config", "Show or set what holds for a workspace, or, where none is meant, for the store");
  AddWorkspaceOption(*command, options->workspace);
  CLI::Option* key = command->add_option("KEY", options->key, "Show this one only");
  command->add_option("VALUE", options->value, "Set it to this")->needs(key);
  CLI::Option* unset =
      command->add_option("--unset", options->unset, "Set it no more")->type_name("KEY");
  CLI::Option* list = command->add_flag("--list", options->list, "Show all, as without a key");
  command->add_flag("--store", options->store, "Of the store, wherever this is run")
      ->excludes(command->get_option("--workspace"));
  unset->excludes(key)->excludes(list);
  list->excludes(key);
  AddFormatOption(*command, options->format);
  command->callback([options, &action] { action = [options] { return RunConfig(*options); }; });
}

}  // namespace ckptfs::cli
