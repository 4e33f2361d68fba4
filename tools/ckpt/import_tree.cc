#include "tools/ckpt/import_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "backend/base/error.h"
#include "catalog/trees/import.h"
#include "catalog/trees/tree_removal.h"
#include "fs/control/control_wire.h"
#include "tools/ckpt/interrupt_guard.h"
#include "tools/ckpt/output.h"
#include "tools/ckpt/progress.h"
#include "tools/ckpt/replace_directory.h"

namespace ckptfs::cli {
namespace {

// A workspace under a temporary name. Removed by the destructor unless it gets its own name.
class TemporaryWorkspace {
 public:
  TemporaryWorkspace(const Location& mount_root, const std::string& name)
      : mount_fd_(mount_root.directory.get()),
        name_(WithSuffix(name, fmt::format(".importing-{}", getpid()))) {
    // This mode keeps others out until the copy has its own.
    if (mkdirat(mount_fd_, name_.c_str(), 0700) != 0) {
      ThrowErrno("make a workspace for the copy",
                 errno == EACCES || errno == EPERM
                     ? "Run this as root, or have root let you write the mount root"
                     : "");
    }
    directory_ =
        UniqueFd(openat(mount_fd_, name_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory_.valid()) {
      const int error = errno;
      Remove();
      throw Error(error, "open the workspace for the copy");
    }
  }
  TemporaryWorkspace(const TemporaryWorkspace&) = delete;
  TemporaryWorkspace& operator=(const TemporaryWorkspace&) = delete;
  ~TemporaryWorkspace() {
    if (!name_.empty()) Remove();
  }

  int fd() const noexcept { return directory_.get(); }

  void GiveName(const std::string& name) {
    if (renameat2(mount_fd_, name_.c_str(), mount_fd_, name.c_str(), RENAME_NOREPLACE) != 0) {
      ThrowErrno("make workspace " + name);
    }
    name_.clear();
  }

 private:
  void Remove() noexcept {
    try {
      if (directory_.valid()) {
        // The copy's own mode may deny write permission even to its owner.
        fchmod(directory_.get(), 0700);
        RemoveTreeContents(directory_.get());
      }
      CheckSyscall(unlinkat(mount_fd_, name_.c_str(), AT_REMOVEDIR), "remove it");
    } catch (const std::exception& error) {
      Note(fmt::format("workspace {} is left over: {}", ShellQuote(name_), error.what()));
    }
  }

  int mount_fd_;
  std::string name_;
  UniqueFd directory_;
};

ImportedTree FromJson(const Json& json) {
  ImportedTree taken;
  taken.workspace = json.at("workspace").get<std::string>();
  taken.files = json.at("files").get<uint64_t>();
  taken.copied_bytes = json.at("copied_bytes").get<uint64_t>();
  taken.shared_bytes = json.at("shared_bytes").get<uint64_t>();
  taken.links_outside = json.at("links_outside").get<uint64_t>();
  taken.attributes_left_out = json.at("attributes_left_out").get<uint64_t>();
  for (const Json& path : json.at("left_out")) {
    taken.left_out.push_back(wire::ToBytes(path, "read the daemon's answer"));
  }
  taken.is_durable = true;
  return taken;
}

// Empty if the daemon cannot reach the directory.
std::optional<ImportedTree> LetDaemonCopy(const Location& mount_root, const std::string& name,
                                          int source_fd, bool leave_out_nested) {
  Json args{{"name", name}, {"leave_out_nested", leave_out_nested}};
  AddOpenFile(args, source_fd);
  ProgressBar bar;
  AnswerHandlers handlers;
  handlers.progress = [&bar](const Json& progress) { bar.Show(progress); };
  try {
    return FromJson(mount_root.Ask(Access::kChange, MakeRequest(wire::kImport, args), handlers));
  } catch (const Error& error) {
    if (error.errno_value() != EOPNOTSUPP) throw;
    return std::nullopt;
  }
}

ImportOptions OptionsForCopy(const Location& mount_root, int destination_fd, bool leave_out_nested,
                             ProgressBar& bar) {
  ImportOptions options;
  options.leave_out_nested = leave_out_nested;
  struct statvfs space {};
  if (fstatvfs(destination_fd, &space) == 0) {
    options.free_bytes = uint64_t{space.f_bavail} * space.f_frsize;
  }
  const Json status = mount_root.Ask(Access::kRead, MakeRequest(wire::kStatus));
  const std::string store = wire::ToBytes(status.at("source"), "read the daemon's answer");
  struct stat info {};
  if (stat(store.c_str(), &info) == 0) {
    options.forbidden.push_back({info.st_dev, info.st_ino, "the store of this very mount"});
  }
  options.progress = [&bar](const ImportProgress& progress) {
    bar.Show(progress.done_bytes, progress.total_bytes, progress.done_entries,
             progress.total_entries);
    return !InterruptGuard::WasInterrupted();
  };
  return options;
}

ImportedTree CopyThroughMount(const Location& mount_root, const std::string& name, int source_fd,
                              bool leave_out_nested) {
  struct stat info {};
  if (fstatat(mount_root.directory.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
    throw Error(EEXIST, "make workspace " + name, "there is one of this name",
                "Choose another with --name");
  }
  const InterruptGuard guard;
  TemporaryWorkspace workspace(mount_root, name);
  ImportedTree taken;
  {
    ProgressBar bar;
    const ImportStats stats =
        ImportTree(source_fd, workspace.fd(),
                   OptionsForCopy(mount_root, workspace.fd(), leave_out_nested, bar));
    taken.files = stats.files;
    taken.copied_bytes = stats.copied_bytes;
    taken.shared_bytes = stats.shared_bytes;
    taken.links_outside = stats.links_outside;
    taken.attributes_left_out = stats.attributes_left_out;
    taken.left_out = stats.left_out;
  }
  try {
    Ask(workspace.fd(), "the new workspace", Access::kChange, MakeRequest(wire::kSync));
    taken.is_durable = true;
  } catch (const Error&) {
    // E.g. the owner may not write to the directory: the copy then reaches the disk later, and the original
    // is not removed.
  }
  workspace.GiveName(name);
  taken.workspace = name;
  return taken;
}

}  // namespace

ImportedTree ImportTree(const Location& mount_root, const std::string& name, int source_fd,
                        bool leave_out_nested) {
  if (geteuid() == 0) {
    std::optional<ImportedTree> taken =
        LetDaemonCopy(mount_root, name, source_fd, leave_out_nested);
    if (taken) return std::move(*taken);
  }
  return CopyThroughMount(mount_root, name, source_fd, leave_out_nested);
}

}  // namespace ckptfs::cli
