#include "fs/operations/rights.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>

#include "backend/base/error.h"
#include "fs/nodes/thread_credentials.h"

namespace ckptfs {
namespace {

// With the sticky bit on the workspace's root: whose entry it is that only the owner may touch. The owner of
// the root may touch it in any case, as with rmdir(2) and rename(2).
enum class Sticky {
  kFree,
  kSnapshots,   // the snapshot shows the owner that the root had at the time
  kWorkspaces,  // files of all users change
};

struct Rule {
  Right right{};
  const char* verb = "";  // for errors
  bool write_workspace = false;
  Sticky sticky = Sticky::kFree;
  bool write_mount_root = false;
  bool list_mount_root = false;
  bool only_root = false;
  bool sticky_mount_root = false;  // with the sticky bit, only for the owner of one of the two
};

// The table of the manual, as far as the kernel cannot check it.
constexpr std::array kRules = {
    Rule{.right = Right::kCheckpoint, .verb = "checkpoint", .write_workspace = true},
    Rule{.right = Right::kChangeSnapshot,
         .verb = "change snapshots of",
         .write_workspace = true,
         .sticky = Sticky::kSnapshots},
    Rule{.right = Right::kRollBack,
         .verb = "roll back",
         .write_workspace = true,
         .sticky = Sticky::kWorkspaces},
    Rule{.right = Right::kSetPolicy,
         .verb = "set what holds for",
         .write_workspace = true,
         .sticky = Sticky::kWorkspaces},
    Rule{.right = Right::kFork,
         .verb = "fork",
         .write_workspace = true,
         .sticky = Sticky::kSnapshots,
         .write_mount_root = true},
    Rule{.right = Right::kForget,
         .verb = "forget",
         .write_workspace = true,
         .sticky = Sticky::kWorkspaces,
         .write_mount_root = true,
         .sticky_mount_root = true},
    Rule{.right = Right::kCreateWorkspace, .verb = "make a workspace", .write_mount_root = true},
    Rule{.right = Right::kListWorkspaces, .verb = "list the workspaces", .list_mount_root = true},
    Rule{.right = Right::kManageStore, .verb = "manage the store", .only_root = true},
};

// The permission bits of one class in a mode, as R_OK, W_OK and X_OK.
bool Allows(mode_t mode, unsigned int shift, int wanted) {
  return ((mode >> shift) & static_cast<mode_t>(wanted)) == static_cast<mode_t>(wanted);
}

// The mount root is in no volume, so no kernel can be asked. It has no ACL.
bool MayAccessMountRoot(const RootAttributes& root, const Asker& asker, int wanted) {
  constexpr unsigned int kOwnerShift = 6;
  constexpr unsigned int kGroupShift = 3;
  const auto is_in_group = [&] {
    const std::vector<gid_t>& groups = asker.further().groups;
    return asker.gid() == root.gid ||
           std::find(groups.begin(), groups.end(), root.gid) != groups.end();
  };
  unsigned int shift = 0;
  if (asker.uid() == root.uid) {
    shift = kOwnerShift;
  } else if (is_in_group()) {
    shift = kGroupShift;
  }
  if (Allows(root.mode, shift, wanted)) return true;
  const Powers& powers = asker.further().powers;
  return powers.Over(CAP_DAC_OVERRIDE, root.uid, root.gid) ||
         ((wanted & W_OK) == 0 && powers.Over(CAP_DAC_READ_SEARCH, root.uid, root.gid));
}

// Asks the kernel, which evaluates ACLs.
bool MayWriteDirectory(int fd, const struct stat& status, const Asker& asker) {
  const FurtherCredentials& further = asker.further();
  int error = 0;
  {
    const SeeAs as(asker.uid(), asker.gid(), further.groups);
    if (faccessat(fd, "", W_OK | X_OK, AT_EACCESS | AT_EMPTY_PATH) != 0) error = errno;
  }
  if (error == 0) return true;
  if (error != EACCES) throw Error(error, "look at a workspace's permissions");
  return further.powers.Over(CAP_DAC_OVERRIDE, status.st_uid, status.st_gid);
}

bool IsOwner(uid_t owner, gid_t group, const Asker& asker) {
  return asker.uid() == owner || asker.further().powers.Over(CAP_FOWNER, owner, group);
}

bool MayPassSticky(Sticky sticky, const struct stat& root, const SnapshotRecord* snapshot,
                   const Asker& asker) {
  if (sticky == Sticky::kFree || (root.st_mode & S_ISVTX) == 0) return true;
  if (IsOwner(root.st_uid, root.st_gid, asker)) return true;
  return sticky == Sticky::kSnapshots && snapshot != nullptr &&
         IsOwner(snapshot->root.uid, snapshot->root.gid, asker);
}

struct Refusal {
  int error_number;
  std::string why;
  std::string hint;
};

// Null if the workspace's data is missing; it then shows as root's. A concurrent rollback may be replacing
// it.
std::shared_ptr<Volume> OpenLive(Store& store, int64_t workspace_id) {
  std::optional<WorkspaceRecord> record = store.rows().FindWorkspace(workspace_id);
  while (record) {
    try {
      return store.backend().Open(record->volume);
    } catch (const Error& error) {
      if (error.errno_value() != ENOENT) throw;
    }
    const VolumeId gone = record->volume;
    record = store.rows().FindWorkspace(workspace_id);
    if (record && record->volume == gone) break;
  }
  return nullptr;
}

std::optional<Refusal> RefusalByWorkspace(Store& store, const Rule& rule, const Asker& asker,
                                          const RightSubject& subject) {
  const bool asks_for_write = rule.write_workspace && !subject.may_write_workspace;
  const RootAttributes above = store.rows().MountRoot();
  const bool asks_for_owner = rule.sticky_mount_root && (above.mode & S_ISVTX) != 0 &&
                              !IsOwner(above.uid, above.gid, asker);
  if (!asks_for_write && !asks_for_owner && rule.sticky == Sticky::kFree) return std::nullopt;
  const std::shared_ptr<Volume> volume = OpenLive(store, subject.workspace->id);
  if (!volume) return Refusal{EACCES, "its data is missing", "Ask root"};
  struct stat root {};
  CheckSyscall(fstat(volume->root_fd(), &root), "look at a workspace");
  if (asks_for_write && !MayWriteDirectory(volume->root_fd(), root, asker)) {
    return Refusal{EACCES, "you may not write it", "Ask its owner, or root"};
  }
  if (asks_for_owner && !IsOwner(root.st_uid, root.st_gid, asker)) {
    return Refusal{EPERM, "the mount root has the sticky bit, and it is not yours",
                   "Ask its owner, or root"};
  }
  if (!MayPassSticky(rule.sticky, root, subject.snapshot, asker)) {
    return Refusal{EPERM, "it has the sticky bit, and is not yours", "Ask its owner, or root"};
  }
  return std::nullopt;
}

std::optional<Refusal> RefusalOf(Store& store, const Rule& rule, const Asker& asker,
                                 const RightSubject& subject) {
  if (asker.uid() == 0) return std::nullopt;
  if (rule.only_root) return Refusal{EACCES, "only root may", "Run this as root"};
  if (rule.write_mount_root && !subject.may_write_mount_root &&
      !MayAccessMountRoot(store.rows().MountRoot(), asker, W_OK | X_OK)) {
    return Refusal{EACCES, "you may not make workspaces in the mount root",
                   "Have root let you write the mount root, or run this as root"};
  }
  if (rule.list_mount_root && !MayAccessMountRoot(store.rows().MountRoot(), asker, R_OK)) {
    return Refusal{EACCES, "you may not list the mount root", "Ask root"};
  }
  return subject.workspace == nullptr ? std::nullopt
                                      : RefusalByWorkspace(store, rule, asker, subject);
}

const Rule& RuleOf(Right right) {
  return *std::find_if(kRules.begin(), kRules.end(),
                       [right](const Rule& rule) { return rule.right == right; });
}

}  // namespace

void RequireRight(Store& store, Right right, const Asker& asker, const RightSubject& subject) {
  const Rule& rule = RuleOf(right);
  const std::optional<Refusal> refusal = RefusalOf(store, rule, asker, subject);
  if (!refusal) return;
  const std::string attempted =
      subject.workspace == nullptr
          ? rule.verb
          : fmt::format("{} workspace {}", rule.verb, subject.workspace->name);
  throw Error(refusal->error_number, attempted, refusal->why, refusal->hint);
}

bool HasRight(Store& store, Right right, const Asker& asker, const RightSubject& subject) {
  return !RefusalOf(store, RuleOf(right), asker, subject);
}

}  // namespace ckptfs
