// What the stress test does, and how each of these calls may end.
#pragma once

#include <cstdint>
#include <span>

namespace ckptfs::stress {

// By the name under which the report shows it.
enum class Operation : uint8_t {
  // Verbs of the directory tree.
  kMakeWorkspace,
  kRemoveWorkspace,
  kRenameWorkspace,
  kCheckpoint,
  kDeleteSnapshot,
  kRenameSnapshot,
  kRollbackLive,
  kRollbackName,
  kFork,
  kExchange,
  kPromote,
  kPin,
  kUnpin,
  // Renames and removals that must do nothing.
  kRenameOntoAncestor,
  kExchangeWithAncestor,
  kMoveIntoItself,
  kMoveElsewhere,
  kMoveOutOfWorkspace,
  kMoveWithinSnapshots,
  kRemoveList,
  kWriteBelowSnapshot,
  // `ckpt`: exit codes instead of errno.
  kCkptCheckpoint,
  kCkptRollback,
  kCkptRollbackForce,
  kCkptFork,
  kCkptDelete,
  kCkptList,
  kCkptDiff,
  // Looking.
  kList,
  kStat,
  kReadLatest,
  kReadInSnapshot,
  // Files in live trees, by path.
  kOpenForWriting,
  kOpenForReading,
  kOpenUnnamed,
  kWrite,
  kRead,
  kStatOpen,
  kSync,
  kMap,
  kRename,
  kLinkUnnamed,
  kLink,
  kSymlink,
  kUnlink,
  kMakeDirectory,
  kRemoveDirectory,
  kTruncate,
  kHoldDirectory,
  kEnter,
  // Through a directory that is held open, or stood in.
  kHeldStat,
  kHeldList,
  kHeldCreate,
  kWhereAmI,
  kUnmount,
  kMount,
  kCount,
};

struct Rule {
  const char* name;
  bool is_exit_code;             // of `ckpt` or `ckptfs`, else an errno
  std::span<const int> allowed;  // beside 0
};

const Rule& RuleOf(Operation operation);
// Whether the call walks a path, on which the kernel walks a second time by itself after ESTALE.
bool WalksAPath(Operation operation);
// ESTALE is right, too, for calls that walk a path, if it is rare (Board::StaleWalksPerMille). Two
// rollbacks can overtake the two walks of one call, on a machine that has much else to do. And a
// directory that somebody holds and whose workspace is rolled back by name has to move in the
// kernel's books at the next walk, which it puts off (d_splice_alias) as long as any rename from one
// directory to another is under way on the mount: two such renames in a row, and the program sees it.
bool IsAllowed(Operation operation, int result);

}  // namespace ckptfs::stress
