// ckpt init
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "catalog/trees/names.h"
#include "fs/control/control_wire.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/import_tree.h"
#include "tools/ckpt/locate.h"
#include "tools/ckpt/output.h"
#include "tools/ckpt/replace_directory.h"

namespace ckptfs::cli {
namespace {

struct InitOptions {
  std::string path;
  std::optional<std::string> name;
  std::optional<std::string> mount;
  std::optional<std::string> template_name;
  bool leave_out_nested = false;
  bool remove_original = false;
};

[[noreturn]] void ThrowDeeper(const std::string& path, const Location& place) {
  throw Error(EINVAL, "make " + QuoteName(path) + " a workspace",
              place.is_mount_root() ? "it is inside .snapshots, or the mount root itself"
                                    : "it is inside " + place.Label(),
              "Workspaces are directly below the mount root");
}

// PATH exists, inside a mount of ckptfs.
[[noreturn]] void RefuseInside(const std::string& path, int directory_fd, const Location& place) {
  if (!place.is_mount_root() && IsSameDirectory(directory_fd, place.directory.get())) {
    throw Error(EEXIST, "make " + QuoteName(path) + " a workspace",
                fmt::format("it is workspace {} already", place.workspace));
  }
  ThrowDeeper(path, place);
}

void AskForWorkspace(const Location& mount, const std::string& name, const std::string& from) {
  const mode_t mask = umask(0);
  umask(mask);
  mount.Ask(Access::kChange, MakeRequest(wire::kCreate, Json{{"name", wire::FromBytes(name)},
                                                             {"mode", 0777 & ~mask},
                                                             {"template", wire::FromBytes(from)}}));
}

// What the daemon tells more about than an errno can.
bool IsOfStorage(int error) { return error == ENOSPC || error == EROFS || error == EIO; }

// PATH does not exist: creates an empty workspace if its parent is a mount root.
int MakeEmpty(const InitOptions& options) {
  std::string path = options.path;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const size_t slash = path.rfind('/');
  const std::string above = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name = path.substr(slash + 1);
  const std::string attempted = "make " + QuoteName(path) + " a workspace";
  const UniqueFd parent(open(above.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent.valid()) ThrowErrno(attempted);
  const std::optional<Location> place = FindLocation(parent.get());
  if (!place) {
    throw Error(ENOENT, attempted, "there is no such directory",
                "Make it first, or name a place directly below the mount root");
  }
  if (!place->is_mount_root() || !IsSameDirectory(parent.get(), place->directory.get())) {
    ThrowDeeper(path, *place);
  }
  if (options.name && *options.name != name) {
    throw Error(EINVAL, attempted, "--name says another name than the path");
  }
  CheckName("workspace", name);
  if (options.template_name) {
    AskForWorkspace(*place, name, *options.template_name);
  } else if (mkdirat(parent.get(), name.c_str(), 0777) != 0) {
    if (!IsOfStorage(errno)) ThrowErrno(attempted);
    AskForWorkspace(*place, name, {});
  }
  PrintLine("made workspace " + ShellQuote(name));
  return kDone;
}

void Report(const ImportedTree& taken, const std::string& path) {
  PrintLine(fmt::format("{} is now workspace {}: {} files, {} copied, {} shared", ShellQuote(path),
                        ShellQuote(taken.workspace), taken.files, FormatBytes(taken.copied_bytes),
                        FormatBytes(taken.shared_bytes)));
  for (const std::string& left_out : taken.left_out) {
    PrintLine("left out: " + QuoteName(left_out));
  }
  if (taken.links_outside > 0) {
    PrintLine(fmt::format("{} files had further hard links outside, which are separate files now",
                          taken.links_outside));
  }
  if (taken.attributes_left_out > 0) {
    PrintLine(fmt::format("{} extended attributes of other systems were left out",
                          taken.attributes_left_out));
  }
}

// PATH is a directory elsewhere: imports it, and replaces it by a symlink.
int TakeInDirectory(const InitOptions& options) {
  ReplaceableDirectory original(options.path);
  const std::string name = options.name.value_or(original.name());
  CheckName("workspace", name);
  const Location mount = FindMountRoot(options.mount, "make workspace " + name);
  const ImportedTree taken = ImportTree(mount, name, original.fd(), options.leave_out_nested);
  const std::string target = PathOf(mount) + "/" + taken.workspace;
  std::string kept;
  try {
    kept = original.ReplaceBySymlink(target);
  } catch (const Error& error) {
    throw Error(error.errno_value(), error.attempted(), error.why(),
                fmt::format("The content is in workspace {} now, and {} is as it was",
                            taken.workspace, QuoteName(original.path())));
  }
  Report(taken, original.path());
  if (options.remove_original && taken.is_durable) {
    original.RemoveKept(kept);
    PrintLine("the original directory is removed");
  } else {
    PrintLine(fmt::format("the original is kept; when all is well, remove it: rm -rf {}",
                          ShellQuote(original.PathBeside(kept))));
  }
  return kDone;
}

int RunInit(const InitOptions& options) {
  if (options.path.empty()) throw Error(EINVAL, "make a workspace", "the path is empty");
  if (options.remove_original && options.leave_out_nested) {
    throw Error(EINVAL, "make a workspace",
                "with --leave-out-nested the original holds what is nowhere else",
                "Leave --remove-original away");
  }
  const UniqueFd path(open(options.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!path.valid()) {
    if (errno == ENOENT) return MakeEmpty(options);
    ThrowErrno("open " + QuoteName(options.path));
  }
  const std::optional<Location> place = FindLocation(path.get());
  if (place) RefuseInside(options.path, path.get(), *place);
  if (options.template_name) {
    throw Error(EEXIST, "make a workspace from template " + *options.template_name,
                QuoteName(options.path) + " is there already",
                "Name a new workspace, directly below the mount root");
  }
  return TakeInDirectory(options);
}

}  // namespace

void AddInit(CLI::App& app, Action& action) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* command = app.add_subcommand(
      "init", "Make PATH a workspace: a new one below the mount root, or a directory elsewhere");
  command->footer(
      "A directory elsewhere is copied in whole; then PATH becomes a symlink to the workspace, "
      "and\n"
      "the original is kept beside it as PATH.before-ckptfs.");
  command->add_option("PATH", options->path, "A new name below the mount root, or a directory")
      ->required();
  command->add_option("--name", options->name, "The workspace's name; else the last part of PATH")
      ->type_name("NAME");
  command->add_option("--mount", options->mount, "A path in the mount that is meant")
      ->type_name("PATH");
  command
      ->add_option("--template", options->template_name,
                   "Make a new workspace from this template (ckpt template list)")
      ->type_name("NAME");
  command->add_flag("--leave-out-nested", options->leave_out_nested,
                    "Leave out mount points and subvolumes in PATH, which are refused otherwise");
  command->add_flag("--remove-original", options->remove_original,
                    "Remove the original directory when all is done");
  command->callback([options, &action] { action = [options] { return RunInit(*options); }; });
}

}  // namespace ckptfs::cli
