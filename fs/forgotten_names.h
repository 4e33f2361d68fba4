// How the kernel is made to forget the names of a live tree.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fs/mount_context.h"

namespace ckptfs {

// While it exists, each walk into the live tree of a workspace asks the daemon for every name on its way:
// so that the tree can be switched to another volume, and a walk finds the state before or the state
// after. No name of any other workspace is touched, nor is what is mounted there. (Counting up the epoch
// of FUSE would be one call; but it makes every name of the mount fail, and the kernel unmounts what
// stands on a name that fails.)
//
// In this order:
//   1. Names that the kernel is told from now on it may use once (LiveWorkspace::KeepsNames).
//   2. Answers that were given before have been taken in by the kernel: it holds the lock of the directory
//      until then, and that lock is waited for, in each directory that it knows.
//   3. All names that nobody uses are dropped, and with them what was known not to be there: by one call,
//      which takes the lock of the mount root.
//   4. The names that are in use (of files that are open or mapped, of working directories, of all that
//      leads to them) stay the kernel's, as the programs' paths depend on them. They are expired: it looks
//      them up before it uses them for a walk. Which they are it does not tell; they are among the entries
//      of the directories that it still knows when it has sent its FORGETs for what it dropped.
//
// A walk that revalidates a name holds no lock, so step 2 does not wait for it: should it take in its
// answer later than step 4, the name would be good once more. `ExpireAgain`, called after the switch, is
// for these, and for names that were moved meanwhile from a directory that step 4 had yet to come to into
// one that it had been in.
//
// Making one waits for requests in the workspace and the mount root, and so for verbs: not on the thread
// of verbs, with no lock held, the gate open, and not for a request that holds the lock of a directory
// (RollbackPreparations). Several may exist at a time.
class ForgottenNames {
 public:
  ForgottenNames(MountContext& mount, std::shared_ptr<LiveWorkspace> workspace);
  ForgottenNames(const ForgottenNames&) = delete;
  ForgottenNames& operator=(const ForgottenNames&) = delete;

  // In the background; to be called after the switch, request handlers may do it.
  void ExpireAgain();

  // Names in the root of directories that the kernel went on knowing; some of them if they are many.
  const std::vector<std::string>& DirectoriesInUse() const noexcept { return directories_; }

 private:
  using Name = std::pair<NodeId, std::string>;  // the directory, and a name in it

  void DropUnused();
  void AwaitForgets() const;
  void ExpireUsed(NodeId directory, const Live& live);

  MountContext& mount_;
  const std::shared_ptr<LiveWorkspace> workspace_;
  const LiveWorkspace::NameStop stop_;
  const NodeId root_;
  std::vector<Name> expired_;
  std::vector<std::string> directories_;
};

}  // namespace ckptfs
