#include "tests/stress/operations.h"

#include <algorithm>
#include <array>
#include <cerrno>

namespace ckptfs::stress {
namespace {

constexpr int kNotFound = 3;
constexpr int kExists = 4;
constexpr int kBusy = 5;

// Errnos are those of the table of verbs in the manual. Names come and go all the time, so ENOENT
// is a right answer wherever a name is looked up. EIO, ENOTCONN, EFAULT, EINVAL out of nowhere are
// right nowhere.
constexpr int kNone[] = {0};
constexpr int kGone[] = {ENOENT};
constexpr int kMaking[] = {ENOENT, EEXIST};
constexpr int kRemoving[] = {ENOENT, ENOTEMPTY};
constexpr int kUsing[] = {ENOENT, EBUSY};
constexpr int kUsingOrMaking[] = {ENOENT, EBUSY, EEXIST};
// Between the two path walks of a rename a name may go to another workspace, which makes another
// operation of it: EBUSY, EEXIST and EPERM are those of the verb that was met by chance.
constexpr int kPromoting[] = {ENOENT, EBUSY, ENOTEMPTY};
constexpr int kExchanging[] = {ENOENT, EBUSY, EPERM};
constexpr int kUsingInPlace[] = {ENOENT, EBUSY, EPERM};
constexpr int kNamingSnapshot[] = {ENOENT, EEXIST, EPERM};
constexpr int kAncestor[] = {ENOENT, ENOTEMPTY, EEXIST, EBUSY};
constexpr int kOwnChild[] = {ENOENT, EINVAL, EPERM, EBUSY};
constexpr int kNotServed[] = {ENOENT, EPERM, EEXIST};
constexpr int kOtherDevice[] = {ENOENT, EXDEV};
constexpr int kReadOnly[] = {ENOENT, EROFS};
constexpr int kReadOnlyOrAncestor[] = {ENOENT, EROFS, ENOTEMPTY};
constexpr int kMoving[] = {ENOENT, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, EXDEV};
constexpr int kNaming[] = {ENOENT, EEXIST};
// EXDEV, here and above: between the two path walks the name has gone to another workspace.
constexpr int kLinking[] = {ENOENT, EEXIST, EXDEV};
// ESTALE: to a directory that has been rolled back since: the file is in the state before.
constexpr int kLinkingUnnamed[] = {ENOENT, ESTALE, EXDEV};
// A directory that is no longer there.
constexpr int kStale[] = {ENOENT, ESTALE};
constexpr int kStaleMaking[] = {ENOENT, ESTALE, EEXIST};
// Whoever stands in the mount keeps it.
constexpr int kUnmounting[] = {EBUSY};
// `ckpt`.
constexpr int kCkptMaking[] = {kNotFound, kExists};
constexpr int kCkptUsing[] = {kNotFound, kBusy};
constexpr int kCkptGone[] = {kNotFound};

// NOLINTNEXTLINE(cppcoreguidelines-avoid-c-arrays): its size is checked below
constexpr Rule kRules[] = {
    {"mkdir W", false, kMaking},
    {"rmdir W", false, kRemoving},
    {"mv W V", false, kMaking},
    {"mkdir .snapshots/W/S", false, kMaking},
    {"rmdir .snapshots/W/S", false, kUsing},
    {"mv .snapshots/W/S .snapshots/W/T", false, kNamingSnapshot},
    {"mv -T S .live", false, kUsingInPlace},
    {"mv -T S W", false, kUsing},
    {"mv -T S N", false, kUsingOrMaking},
    {"mv --exchange S W", false, kExchanging},
    {"mv -T S V", false, kPromoting},
    {"pin", false, kGone},
    {"unpin", false, kGone},
    {"mv -T W/.snapshots/S W", false, kAncestor},
    {"mv --exchange W/.snapshots/S W", false, kOwnChild},
    {"mv W W/.snapshots/S", false, kOwnChild},
    {"mv elsewhere", false, kNotServed},
    {"mv W/d N", false, kOtherDevice},
    {"mv S/d .snapshots/W/T", false, kReadOnlyOrAncestor},
    {"rmdir .snapshots/W", false, kNotServed},
    {"mkdir S/d", false, kReadOnly},
    {"ckpt checkpoint", true, kCkptMaking},
    {"ckpt rollback", true, kCkptUsing},
    {"ckpt rollback --force", true, kCkptUsing},
    {"ckpt fork", true, kCkptMaking},
    {"ckpt delete", true, kCkptUsing},
    {"ckpt list", true, kCkptGone},
    {"ckpt diff", true, kCkptGone},
    {"list", false, kGone},
    {"stat", false, kGone},
    {"readlink latest", false, kGone},
    {"read in a snapshot", false, kGone},
    {"open for writing", false, kGone},
    {"open for reading", false, kGone},
    {"open an unnamed file", false, kGone},
    {"write", false, kNone},
    {"read", false, kNone},
    {"fstat", false, kNone},
    {"fsync", false, kNone},
    {"mmap", false, kNone},
    {"rename", false, kMoving},
    {"link an unnamed file", false, kLinkingUnnamed},
    {"link", false, kLinking},
    {"symlink", false, kNaming},
    {"unlink", false, kGone},
    {"mkdir", false, kNaming},
    {"rmdir", false, kRemoving},
    {"truncate", false, kGone},
    {"open a directory", false, kGone},
    {"chdir", false, kGone},
    {"stat in a held directory", false, kStale},
    {"list a held directory", false, kStale},
    {"create in a held directory", false, kStaleMaking},
    {"getcwd", false, kStale},
    {"umount", false, kUnmounting},
    {"ckptfs", true, kNone},
};
static_assert(std::size(kRules) == static_cast<size_t>(Operation::kCount));

}  // namespace

const Rule& RuleOf(Operation operation) { return kRules[static_cast<size_t>(operation)]; }

bool WalksAPath(Operation operation) {
  const Rule& rule = RuleOf(operation);
  const bool is_by_descriptor =
      rule.allowed.data() == kStale || rule.allowed.data() == kStaleMaking;
  return !rule.is_exit_code && rule.allowed.data() != kNone && !is_by_descriptor;
}

bool IsAllowed(Operation operation, int result) {
  if (result == ESTALE && WalksAPath(operation)) return true;
  const std::span<const int> allowed = RuleOf(operation).allowed;
  return result == 0 || std::find(allowed.begin(), allowed.end(), result) != allowed.end();
}

}  // namespace ckptfs::stress
