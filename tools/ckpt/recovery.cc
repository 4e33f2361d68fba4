#include "tools/ckpt/recovery.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/mount_table.h"
#include "backend/base/own_names.h"
#include "backend/base/text.h"
#include "catalog/trees/names.h"
#include "fs/control/control_wire.h"
#include "tools/ckpt/changes.h"
#include "tools/ckpt/consent.h"
#include "tools/ckpt/interrupt_guard.h"
#include "tools/ckpt/locate.h"
#include "tools/ckpt/output.h"
#include "tools/ckpt/progress.h"
#include "tools/ckpt/recovery_place.h"
#include "tools/ckpt/workspace_users.h"

namespace ckptfs::cli {
namespace {

// --- The workspace -------------------------------------------------------------------------------

// The workspace that a symlink leads to: directly, and to its root.
Location OpenLinked(const RecoveryPlace& place, const std::string& link) {
  const std::string attempted = place.attempted();
  const std::string leads = "it leads to " + QuoteName(link);
  const UniqueFd target(openat(place.parent_fd(), link.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!target.valid() || fstat(target.get(), &info) != 0) {
    if (errno == ENOTCONN || errno == ECONNABORTED) {  // the latter when it has just ended
      throw Error(ENOTCONN, attempted, "the daemon of its mount is gone", "Mount it again");
    }
    if (errno != ENOENT && errno != ENOTDIR) ThrowErrno(attempted);
    throw Error(ENOENT, attempted, leads + ", which is not there", "Mount the store there first");
  }
  if (S_ISLNK(info.st_mode)) {
    throw Error(EINVAL, attempted, leads + ", which is another symlink", "Name that one");
  }
  if (!S_ISDIR(info.st_mode)) throw Error(EINVAL, attempted, leads + ", which is no workspace");
  std::optional<Location> found = FindLocation(target.get());
  if (!found) {
    throw Error(ENOENT, attempted, leads + ", where no ckptfs is mounted",
                "Mount the store there first");
  }
  if (found->is_mount_root() || !IsSameDirectory(found->directory.get(), target.get())) {
    throw Error(EINVAL, attempted, leads + ", which is no workspace");
  }
  return std::move(*found);
}

// Whether the symlink leads to a name directly below a mount root.
bool LeadsIntoMountRoot(const RecoveryPlace& place, const std::string& link) {
  const std::string above = link.substr(0, link.rfind('/') + 1);
  const UniqueFd directory(
      openat(place.parent_fd(), above.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return false;
  const std::optional<Location> found = FindLocation(directory.get());
  return found && found->is_mount_root() &&
         IsSameDirectory(found->directory.get(), directory.get());
}

// A snapshot's directory, open for reading; not valid if there is none.
UniqueFd OpenSnapshot(const Location& workspace, const std::string& name) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  const std::string inner = fmt::format("{}/{}", kSnapshotsName, name);
  UniqueFd fd(openat(workspace.directory.get(), inner.c_str(), kFlags));
  if (fd.valid()) return fd;
  // The mount may offer only the outer list.
  const std::string outer = fmt::format("../{}/{}/{}", kSnapshotsName, workspace.workspace, name);
  return UniqueFd(openat(workspace.directory.get(), outer.c_str(), kFlags));
}

std::string IdOfSnapshot(int directory_fd) {
  char id[64];
  const ssize_t length = fgetxattr(directory_fd, "user.ckptfs.id", id, sizeof id);
  return length < 0 ? "" : std::string(id, static_cast<size_t>(length));
}

// What has changed in the live tree since a snapshot, as a phrase: "a/b and 2 more". Empty: nothing.
std::string ChangesSince(const Location& workspace, const std::string& snapshot) {
  size_t count = 0;
  std::string first;
  AnswerHandlers handlers;
  handlers.items = [&](const Json& items) {
    for (const Json& item : items) {
      if (count++ > 0) continue;
      first = QuoteName(wire::ToBytes(item.at("path"), "read the daemon's answer"));
    }
  };
  const Json result = workspace.Ask(
      Access::kRead, MakeRequest(wire::kDiff, {{"from", wire::FromBytes(snapshot)}}), handlers);
  if (result.is_object()) {
    count += result.value(wire::kHidden, size_t{0}) + result.value(wire::kTooLong, size_t{0});
  }
  if (count == 0) return "";
  if (first.empty()) return fmt::format("{} files that you may not see", count);
  return count == 1 ? first : fmt::format("{} and {} more", first, count - 1);
}

Json ForgetRequestOf(bool dry_run, const std::optional<std::string>& snapshot) {
  Json args{{"dry_run", dry_run}};
  if (snapshot) args["snapshot"] = wire::FromBytes(*snapshot);
  return MakeRequest(wire::kForget, std::move(args));
}

// --- What is checked before anything is done -------------------------------------------------------

void RefuseOtherMount(const RecoveryPlace& place, const Location& workspace,
                      const std::optional<std::string>& mount) {
  if (!mount) return;
  const Location meant = FindMountRoot(mount, place.attempted());
  struct stat a {};
  struct stat b {};
  CheckSyscall(fstat(meant.directory.get(), &a), place.attempted());
  CheckSyscall(fstat(workspace.directory.get(), &b), place.attempted());
  if (a.st_dev == b.st_dev) return;
  throw Error(
      EXDEV, place.attempted(),
      fmt::format("it leads to a workspace of another mount, {}", QuoteName(PathOf(workspace))));
}

// The copy would be a change of the workspace.
void RefuseInside(const RecoveryPlace& place, const Location& workspace) {
  const std::optional<Location> around = FindLocation(place.parent_fd());
  if (!around || !IsSameDirectory(around->directory.get(), workspace.directory.get())) return;
  throw Error(EINVAL, place.attempted(), "it is in the workspace itself");
}

void RefuseUsers(const RecoveryPlace& place, const Location& workspace) {
  struct stat info {};
  CheckSyscall(fstat(workspace.directory.get(), &info), place.attempted());
  const std::string root = PathOf(workspace);
  for (const Mount& mount : ReadMounts("/proc/self/mountinfo")) {
    if (!mount.target.starts_with(root + "/")) continue;
    throw Error(EBUSY, place.attempted(),
                fmt::format("{} is mounted in the workspace", QuoteName(mount.target)),
                "Unmount it, or leave it out with --force");
  }
  const std::vector<WorkspaceUser> users = FindUsers(root, info.st_dev);
  if (users.empty()) return;
  throw Error(EBUSY, place.attempted(), "the workspace is in use: " + Describe(users),
              "End them, or say --force: they go on in the workspace, not in the directory");
}

// --- The steps -------------------------------------------------------------------------------------

class Recovery {
 public:
  explicit Recovery(const RecoveryRequest& request) : request_(request), place_(request.path) {
    result_.path = place_.path();
  }

  Recovered Run() {
    const std::optional<RecoveryMark> earlier = place_.TakeOver();
    if (earlier) {
      TakeUp(*earlier);
    } else {
      Begin();
      Copy();
      Finish();
    }
    return std::move(result_);
  }

 private:
  // An earlier run was killed after the exchange.
  void TakeUp(const RecoveryMark& mark) {
    result_.workspace = mark.workspace;
    result_.snapshot = mark.snapshot;
    try {
      workspace_ = OpenLinked(place_, mark.link);
    } catch (const Error& error) {
      if (error.errno_value() != ENOENT || !LeadsIntoMountRoot(place_, mark.link)) throw;
      result_.is_workspace_gone = true;
      place_.RemoveWork();
      return;
    }
    if (request_.forget && !request_.yes) RequireConsentToForget(*workspace_);
    if (IdOfSnapshot(OpenSnapshot(*workspace_, mark.snapshot).get()) == mark.snapshot_id) {
      return Finish();
    }
    // Without the checkpoint nobody can say what has changed.
    result_.changed = fmt::format("perhaps something (checkpoint {} is gone)", mark.snapshot);
    place_.RemoveWork();
  }

  void Begin() {
    mark_.name = place_.name();
    mark_.link = place_.ReadLink();
    workspace_ = OpenLinked(place_, mark_.link);
    RefuseOtherMount(place_, *workspace_, request_.mount);
    RefuseInside(place_, *workspace_);
    if (!request_.force) RefuseUsers(place_, *workspace_);
    if (!request_.forget) return;
    workspace_->Ask(Access::kChange, ForgetRequestOf(/*dry_run=*/true, std::nullopt));
    if (!request_.yes) RequireConsentToForget(*workspace_);
  }

  void Copy() {
    TakeCheckpoint();
    Failpoint("recover.after-checkpoint");
    const InterruptGuard guard;
    try {
      MakeCopy();
      const std::string changed = ChangesSince(*workspace_, mark_.snapshot);
      if (!changed.empty()) {
        throw Error(EBUSY, place_.attempted(), "the workspace changed during the copy: " + changed,
                    "Stop what writes there and try again");
      }
      if (InterruptGuard::WasInterrupted()) {
        throw Error(ECANCELED, place_.attempted(), "it was given up");
      }
      place_.Exchange();
    } catch (...) {
      if (!place_.IsExchanged()) TakeBack();
      throw;
    }
  }

  void TakeCheckpoint() {
    mark_.workspace = workspace_->workspace;
    const Json found = AskForCheckpoint(/*if_changed=*/true);
    is_checkpoint_new_ = !found.contains("unchanged_since");
    mark_.snapshot = found.at(is_checkpoint_new_ ? "name" : "unchanged_since").get<std::string>();
    if (!is_checkpoint_new_ && !IsLive(mark_.snapshot)) {
      mark_.snapshot = AskForCheckpoint(/*if_changed=*/false).at("name").get<std::string>();
      is_checkpoint_new_ = true;
    }
    result_.workspace = mark_.workspace;
    result_.snapshot = mark_.snapshot;
  }

  Json AskForCheckpoint(bool if_changed) const {
    return workspace_->Ask(
        Access::kChange,
        MakeRequest(wire::kCheckpoint, Json{{"message", "the state that 'ckpt recover' copies"},
                                            {"if_changed", if_changed}}));
  }

  // The state that has not changed may be one of another workspace, of which this is a fork.
  bool IsLive(const std::string& snapshot) const {
    return OpenSnapshot(*workspace_, snapshot).valid() &&
           ChangesSince(*workspace_, snapshot).empty();
  }

  void MakeCopy() {
    const UniqueFd source = OpenSnapshot(*workspace_, mark_.snapshot);
    if (!source.valid()) ThrowErrno("open checkpoint " + mark_.snapshot);
    mark_.snapshot_id = IdOfSnapshot(source.get());
    const UniqueFd copy = place_.BeginCopy(mark_);
    {
      ProgressBar bar;
      result_.copied = ImportTree(source.get(), copy.get(), OptionsForCopy(bar));
    }
    TakeTimesOfRoot(copy.get());
    CheckSyscall(syncfs(copy.get()), "write the copy to disk");
    // On a mount of ckptfs syncfs does nothing.
    if (const auto around = FindLocation(place_.parent_fd()); around && !around->is_mount_root()) {
      around->Ask(Access::kChange, MakeRequest(wire::kSync));
    }
  }

  // A snapshot's root shows the time of the checkpoint.
  void TakeTimesOfRoot(int copy_fd) const {
    struct stat live {};
    CheckSyscall(fstat(workspace_->directory.get(), &live), place_.attempted());
    const timespec times[2] = {live.st_atim, live.st_mtim};
    CheckSyscall(futimens(copy_fd, times), place_.attempted());
  }

  ImportOptions OptionsForCopy(ProgressBar& bar) const {
    ImportOptions options;
    options.with_flags = true;
    options.verb = "copy";
    options.make_space = fmt::format("Free some beside {}", QuoteName(place_.path()));
    options.no_root_xattrs = kSnapshotXattrPrefix;
    struct statvfs space {};
    if (fstatvfs(place_.parent_fd(), &space) == 0) {
      options.free_bytes = uint64_t{space.f_bavail} * space.f_frsize;
    }
    options.progress = [&bar](const ImportProgress& progress) {
      bar.Show(progress.done_bytes, progress.total_bytes, progress.done_entries,
               progress.total_entries);
      return !InterruptGuard::WasInterrupted();
    };
    return options;
  }

  // Before the exchange: as it was.
  void TakeBack() noexcept {
    try {
      place_.RemoveWork();
    } catch (const std::exception& error) {
      Note(fmt::format("a half-made copy is left, which the next run removes: {}", error.what()));
    }
    if (!is_checkpoint_new_) return;
    try {
      workspace_->Ask(Access::kChange,
                      MakeRequest(wire::kDelete, {{"snapshot", wire::FromBytes(mark_.snapshot)}}));
    } catch (const std::exception& error) {
      Note(fmt::format("checkpoint {} is left over: {}", ShellQuote(mark_.snapshot), error.what()));
    }
  }

  // After the exchange.
  void Finish() {
    result_.changed = ChangesSince(*workspace_, result_.snapshot);
    Failpoint("recover.after-comparison");
    if (request_.forget && result_.changed.empty()) Forget();
    place_.RemoveWork();
  }

  void Forget() {
    try {
      const Json done =
          workspace_->Ask(Access::kChange, ForgetRequestOf(/*dry_run=*/false, result_.snapshot));
      result_.forgotten = done.at("snapshots").get<uint64_t>();
      Failpoint("recover.after-forget");
    } catch (const Error& error) {
      place_.RemoveWork();
      throw Error(error.errno_value(), error.attempted(), error.why(),
                  fmt::format("{} is a plain directory again, and the workspace stays",
                              QuoteName(place_.path())));
    }
  }

  const RecoveryRequest& request_;
  RecoveryPlace place_;
  std::optional<Location> workspace_;
  RecoveryMark mark_;
  bool is_checkpoint_new_ = false;
  Recovered result_;
};

}  // namespace

Recovered Recover(const RecoveryRequest& request) { return Recovery(request).Run(); }

}  // namespace ckptfs::cli
