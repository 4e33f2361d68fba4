// Imports a tree for `ckpt init`, on behalf of a caller who is root.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "backend/base/failpoint.h"
#include "backend/base/unique_fd.h"
#include "catalog/trees/import.h"
#include "fs/control/control_requests.h"
#include "fs/nodes/thread_credentials.h"

namespace ckptfs::control {
namespace {

using wire::Json;

Json ToJson(const ImportProgress& progress) {
  return Json{{"done_bytes", progress.done_bytes},
              {"total_bytes", progress.total_bytes},
              {"done_files", progress.done_entries},
              {"total_files", progress.total_entries},
              {"path", wire::FromBytes(progress.path)}};
}

Json ToJson(const ImportStats& stats, const std::string& workspace) {
  Json left_out = Json::array();
  for (const std::string& path : stats.left_out) left_out.push_back(wire::FromBytes(path));
  return Json{{"workspace", workspace},
              {"directories", stats.directories},
              {"files", stats.files},
              {"hard_links", stats.hard_links},
              {"others", stats.others},
              {"copied_bytes", stats.copied_bytes},
              {"shared_bytes", stats.shared_bytes},
              {"links_outside", stats.links_outside},
              {"attributes_left_out", stats.attributes_left_out},
              {"left_out", std::move(left_out)}};
}

}  // namespace

// Opening through /proc reaches the file itself, whatever mount namespace or chroot the caller lives in. The
// caller's PID comes from the kernel. Device and inode number prove that it is the right descriptor, and also
// catch a PID of another PID namespace.
UniqueFd OpenCallersFile(const Request& request, const std::string& attempted) {
  const uint64_t number = request.Number("fd");
  UniqueFd file;
  struct stat info {};
  if (request.caller.uid == 0 && request.caller.pid > 0) {
    const std::string path = fmt::format("/proc/{}/fd/{}", request.caller.pid, number);
    file = UniqueFd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  }
  if (!file.valid() || fstat(file.get(), &info) != 0 || info.st_dev != request.Number("device") ||
      info.st_ino != request.Number("inode")) {
    throw Error(EOPNOTSUPP, attempted, "the daemon does not see the caller's descriptors");
  }
  return file;
}

ImportOptions ImportOptionsFor(const Request& request) {
  Store& store = request.store();
  ImportOptions options;
  options.leave_out_nested = request.Flag("leave_out_nested", false);
  options.free_bytes = store.backend().Space().free_bytes;
  struct stat info {};
  if (stat(store.Status().source.c_str(), &info) == 0) {
    options.forbidden.push_back({info.st_dev, info.st_ino, "the store of this very mount"});
  }
  options.progress = [&request](const ImportProgress& progress) {
    if (request.answer.IsAbandoned()) return false;
    request.answer.Send(Json{{wire::kProgress, ToJson(progress)}});
    return true;
  };
  return options;
}

Json Import(const Request& request) {
  request.RequireChangesToMount();
  // Other users copy for themselves, into a workspace made by mkdir.
  if (request.caller.uid != 0) {
    throw Error(EOPNOTSUPP, "import a tree", "the daemon does that for root only");
  }
  const UniqueFd source = OpenCallersFile(request, "open the directory to import");
  const std::string name = request.Text("name");

  // From here to the commit, no row names the volume. A crash leaves an orphaned volume, which the next mount
  // removes, and the source unchanged.
  const std::unique_ptr<PendingWorkspace> pending = request.store().BeginWorkspace(name);
  const KeepSetId keep(true);  // the copies of set-group-id files, whatever their group
  const ImportStats stats =
      ImportTree(source.get(), pending->volume().root_fd(), ImportOptionsFor(request));
  // All data is on disk before the name is.
  request.store().backend().Sync(pending->volume().id());
  Failpoint("import.before-commit");
  if (request.answer.IsAbandoned()) throw Error(ECANCELED, "import a tree", "it was given up");
  // The commit is one catalog transaction: the workspace appears as a whole or not at all.
  const WorkspaceRecord workspace = request.verbs.CommitWorkspace(*pending);
  Failpoint("import.after-commit");
  return ToJson(stats, workspace.name);
}

}  // namespace ckptfs::control
