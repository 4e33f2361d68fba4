// Makes the kernel forget the names of a live tree that gets another volume.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fs/nodes/nodes.h"
#include "fs/operations/invalidation.h"

namespace ckptfs {

// The kernel caches names, and a walk through cached names does not reach the daemon. After a switch they are
// the names of the previous state. No call makes the kernel forget the names of one tree. (Raising FUSE's
// epoch would affect the whole mount: every name fails revalidation, and the kernel unmounts what is mounted
// on or below a name that fails, in any workspace.) Dropping names one by one, or with the calls that work on
// one directory, takes directory locks. Such a lock may be held by the very rename(2) that requests the
// rollback, or by a thread that waits for that rename's lock. It also takes a microsecond per known name.
//
// So it is done after the verb, and walks into the tree wait meanwhile. Every walk through a directory checks
// search permission, by its attributes, and dropping attributes takes no lock. From the constructor on, until
// the names are settled:
//
// - The kernel has no attributes of the tree's directories, and gets none until the end: walks wait at that
//   GETATTR. So a walk finds the previous state if it passed this point before, else the state after the
//   switch. (A thread may ask with a directory locked, if the attributes were dropped while it was about to
//   change a name. It would wait for us and we for it. After a while it gets ESTALE, releases the lock and
//   walks once more. getdents(2) always asks with the directory locked, to check whether a cached listing is
//   still valid; it does not wait.)
// - The kernel may use each name that it is told only once (LiveWorkspace::KeepsNames).
//
// Then `Settle`, on its own thread:
//   1. Drops all unused names, including negative ones.
//   2. Keeps names in use (of open or mapped files, of working directories, and all that lead to them), as
//      the programs' paths depend on them, but expires them: they are looked up before a walk uses them. The
//      kernel does not tell which they are; they are among the present or former entries of the directories
//      that it still knows. Expiring takes the lock of each such directory, and so waits for replies that
//      were sent earlier and that the kernel was about to cache.
//   3. Drops what those replies brought, as in 1.
//
// Made by the thread of a verb, which may hold any lock.
class SettlingNames {
 public:
  // `can_expire_names`: MountContext.
  SettlingNames(const Nodes& nodes, Invalidation& invalidation, bool can_expire_names,
                std::shared_ptr<LiveWorkspace> workspace);
  ~SettlingNames() = default;
  SettlingNames(const SettlingNames&) = delete;
  SettlingNames& operator=(const SettlingNames&) = delete;

  // The previous state is about to be destroyed: remembers the entries of its directories that the kernel
  // knows. Called before the switch.
  void Remember(const Volume& before);

  // Called after the switch. `before`: a volume with the previous state; null: Remember was called. Settles
  // the names in the background once `names` has been destroyed.
  static void Settle(std::unique_ptr<SettlingNames> names, std::shared_ptr<Volume> before);

 private:
  using Name = std::pair<NodeId, std::string>;  // the directory and a name in it

  void Run();
  void DropUnused();
  void ExpireUsed(NodeId directory, const Volume& after);
  void ExpireName(NodeId directory, const std::string& name);
  void DropNamesBelow(NodeId directory, const std::string& name);
  void AwaitLookups(NodeId directory);
  void SettleListings();
  // The directories in the root that the kernel may know.
  std::vector<std::string> DirectoriesInRoot() const;
  FileId FileOf(NodeId directory, const Volume& volume) const;

  const Nodes& nodes_;
  Invalidation& invalidation_;
  const bool can_expire_names_;
  const std::shared_ptr<LiveWorkspace> workspace_;
  // In effect for the lifetime of this object.
  const LiveWorkspace::NameStop stop_;
  const LiveWorkspace::WalkStop walks_;
  const NodeId root_;  // before the switch
  std::shared_ptr<Volume> before_;
  std::set<Name> remembered_;
};

}  // namespace ckptfs
