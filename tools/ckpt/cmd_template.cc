// ckpt template add, ckpt template list, ckpt template rm
#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <memory>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"
#include "fs/control/control_wire.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/locate.h"
#include "tools/ckpt/output.h"
#include "tools/ckpt/progress.h"

namespace ckptfs::cli {
namespace {

struct TemplateOptions {
  std::string name;
  std::optional<std::string> path;
  std::optional<std::string> from;
  std::optional<std::string> filesystem;
  std::optional<uint64_t> size_bytes;
  std::optional<std::string> mount;
  std::string format = "table";
};

Location FindMount(const TemplateOptions& options) {
  return FindMountRoot(options.mount, "see to templates");
}

void Report(const Json& added) {
  PrintLine(fmt::format("template {}: {}, {}, takes {}",
                        ShellQuote(added.at("name").get<std::string>()),
                        added.at("filesystem").get<std::string>(),
                        FormatBytes(added.at("size_bytes")), FormatBytes(added.at("disk_bytes"))));
}

// "W/S", which neither name can hold a slash of.
int AddFromSnapshot(const TemplateOptions& options) {
  const size_t slash = options.from->find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == options.from->size() ||
      options.from->find('/', slash + 1) != std::string::npos) {
    throw Error(EINVAL, "add template " + options.name,
                fmt::format("'{}' is not of the form WORKSPACE/SNAPSHOT", *options.from));
  }
  Json request = MakeRequest(wire::kTemplateAdd,
                             Json{{"name", wire::FromBytes(options.name)},
                                  {"snapshot", wire::FromBytes(options.from->substr(slash + 1))}});
  request[wire::kWorkspace] = wire::FromBytes(options.from->substr(0, slash));
  Report(FindMount(options).Ask(Access::kChange, request));
  return kDone;
}

int AddFromPath(const TemplateOptions& options) {
  const UniqueFd source(open(options.path->c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!source.valid()) ThrowErrno("open " + QuoteName(*options.path));
  Json args{{"name", wire::FromBytes(options.name)}};
  AddOpenFile(args, source.get());
  if (options.filesystem) args["filesystem"] = *options.filesystem;
  if (options.size_bytes) args["size_bytes"] = *options.size_bytes;
  ProgressBar bar;
  AnswerHandlers handlers;
  handlers.progress = [&bar](const Json& progress) { bar.Show(progress); };
  const Json added = FindMount(options).Ask(
      Access::kChange, MakeRequest(wire::kTemplateAdd, std::move(args)), handlers);
  bar.Clear();
  Report(added);
  return kDone;
}

int RunTemplateAdd(const TemplateOptions& options) {
  if (options.from && (options.size_bytes || options.filesystem)) {
    throw Error(EINVAL, "add template " + options.name,
                "a snapshot brings its size and its filesystem with it",
                "Leave --size and --filesystem out");
  }
  return options.from ? AddFromSnapshot(options) : AddFromPath(options);
}

int RunTemplateList(const TemplateOptions& options) {
  const Json templates =
      FindWidest(options.mount).Ask(Access::kRead, MakeRequest(wire::kTemplates));
  if (IsJson(options.format)) {
    PrintJson(templates);
    return kDone;
  }
  Table table({"TEMPLATE", "FILESYSTEM", "SIZE", "ON DISK", "USERS", "CREATED"});
  for (const size_t column : {2, 3, 4}) table.AlignRight(column);
  table.MayShorten(0, kNameColumnsMin);
  for (const Json& one : templates) {
    table.Add({ShellQuote(one.at("name").get<std::string>()),
               one.at("filesystem").get<std::string>(), FormatBytes(one.at("size_bytes")),
               FormatBytes(one.at("disk_bytes")), std::to_string(one.at("users").size()),
               FormatTime(one.at("created").get<std::string>())});
  }
  PrintTable(table);
  return kDone;
}

int RunTemplateRemove(const TemplateOptions& options) {
  FindMount(options).Ask(
      Access::kChange,
      MakeRequest(wire::kTemplateRemove, Json{{"name", wire::FromBytes(options.name)}}));
  PrintLine("removed template " + ShellQuote(options.name));
  return kDone;
}

using TemplateRun = int (*)(const TemplateOptions&);

CLI::App* AddCommand(CLI::App& above, Action& action, const char* name, const char* description,
                     const std::shared_ptr<TemplateOptions>& options, TemplateRun run) {
  CLI::App* command = above.add_subcommand(name, description);
  command->add_option("--mount", options->mount, "A path in the mount that is meant")
      ->type_name("PATH");
  command->callback([options, run, &action] { action = [options, run] { return run(*options); }; });
  return command;
}

}  // namespace

void AddTemplate(CLI::App& app, Action& action) {
  auto options = std::make_shared<TemplateOptions>();
  CLI::App* group = app.add_subcommand(
      "template", "Templates, which workspaces of a store on device-mapper are made from");
  group->require_subcommand(1);

  CLI::App* add = AddCommand(*group, action, "add",
                             "Add a template: a directory's content, an image, or a snapshot",
                             options, RunTemplateAdd);
  add->add_option("NAME", options->name, "Its name; that of the default template is 'default'")
      ->required();
  CLI::Option* path =
      add->add_option("PATH", options->path, "A directory, or an image of ext4 or xfs");
  add->add_option("--from", options->from, "A snapshot; the template needs it no more afterwards")
      ->type_name("WORKSPACE/SNAPSHOT")
      ->excludes(path);
  add->add_option("--filesystem", options->filesystem,
                  "ext4 (the default) or xfs, of a directory's")
      ->check(CLI::IsMember({"ext4", "xfs"}));
  add->add_option("--size", options->size_bytes, "Of each workspace; the default is the store's")
      ->transform(CLI::AsSizeValue(false));
  add->callback([options, &action] {
    if (!options->path && !options->from) throw CLI::RequiredError("PATH or --from");
    action = [options] { return RunTemplateAdd(*options); };
  });

  CLI::App* list = AddCommand(*group, action, "list", "List the templates and who needs them",
                              options, RunTemplateList);
  AddFormatOption(*list, options->format);

  AddCommand(*group, action, "rm", "Remove a template that nobody needs", options,
             RunTemplateRemove)
      ->add_option("NAME", options->name, "The template")
      ->required();
}

}  // namespace ckptfs::cli
