// The operations of the stress test and their permitted results.
#pragma once

#include <cstdint>
#include <span>

namespace ckptfs::stress {

// Named as in the report.
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
  // Renames and removals that must have no effect.
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
  // Lookups.
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
  // Through a directory that is held open or is the working directory.
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
  bool is_exit_code;             // of `ckpt` or `ckptfs`; else it is an errno
  std::span<const int> allowed;  // besides 0
};

const Rule& RuleOf(Operation operation);
// Whether the call walks a path; after ESTALE the kernel walks it a second time by itself.
bool WalksAPath(Operation operation);
// ESTALE is also permitted for path-walking calls, if rare (Board::StaleWalksPerMille). On a busy machine two
// rollbacks can overtake the two walks of one call. Also, a directory that is held open while its workspace
// is rolled back by name must be moved in the dentry tree at the next walk, and the kernel postpones that
// (d_splice_alias) while any rename between two directories is in progress on the mount: after two such
// renames in a row the program sees ESTALE.
bool IsAllowed(Operation operation, int result);

}  // namespace ckptfs::stress
