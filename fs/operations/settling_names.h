// How the kernel is made to forget the names of a live tree that is given another volume.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fs/files/mount_context.h"

namespace ckptfs {

// What the kernel knows of names it keeps, and a walk finds what is under them without a word to the
// daemon. After a switch they are those of the state before. There is no call that makes the kernel forget
// the names of one tree. (Counting up FUSE's epoch would be one for the whole mount; but it makes every
// name fail, and the kernel unmounts what stands on or below a name that fails, in any workspace.) To drop
// them one by one, or by the calls that there are for one directory, takes locks of directories, which may
// be held by the very rename(2) that asks for the rollback, or by one that waits for a lock of that one;
// and it takes a microsecond for each name that is known.
//
// So it is done after the verb, and whoever walks into the tree meanwhile waits. Every walk through a
// directory asks for the permission to search it, by its attributes; and to have the kernel drop
// attributes takes no lock. From the constructor on, until the names are settled:
//
// - The kernel has no attributes of the tree's directories, and is told some only when all is over: that
//   is where walks wait. (One that asks with a directory locked, as the attributes went while it was on its
//   way to change a name, would wait for us and we for it: after a while it is told ESTALE, gives the lock
//   back and walks once more. getdents(2) always asks with the directory locked, to know whether a listing
//   that is kept is still right; it does not wait.) So a walk finds the state before, if it got past this point before, or the state
//   after the switch.
// - Names that the kernel is told it may use once (LiveWorkspace::KeepsNames).
//
// Then, by `Settle`, on a thread of its own:
//   1. All names that nobody uses are dropped, and with them what was known not to be there.
//   2. Names in use (of files that are open or mapped, of working directories, of all that leads to them)
//      stay the kernel's, as the programs' paths depend on them. They are expired: looked up before a walk
//      uses them. Which they are it does not tell; they are among the entries that the directories which
//      it still knows have, or had before. This takes the lock of each such directory, and so waits for
//      answers that were given before and that the kernel was about to take in.
//   3. What those answers brought is dropped, as in 1.
//
// Made by the thread of a verb, which may hold anything.
class SettlingNames {
 public:
  SettlingNames(MountContext& mount, std::shared_ptr<LiveWorkspace> workspace);
  ~SettlingNames() = default;
  SettlingNames(const SettlingNames&) = delete;
  SettlingNames& operator=(const SettlingNames&) = delete;

  // The state before is about to be destroyed: remembers what the directories have in it that the kernel
  // knows. Before the switch.
  void Remember(const Volume& before);

  // After the switch. `before`: a volume with the state before; null: Remember was called. The names are
  // settled when `names` has gone, in the background.
  static void Settle(std::unique_ptr<SettlingNames> names, std::shared_ptr<Volume> before);

 private:
  using Name = std::pair<NodeId, std::string>;  // the directory, and a name in it

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

  MountContext& mount_;
  const std::shared_ptr<LiveWorkspace> workspace_;
  // They last as long as this.
  const LiveWorkspace::NameStop stop_;
  const LiveWorkspace::WalkStop walks_;
  const NodeId root_;  // before the switch
  std::shared_ptr<Volume> before_;
  std::set<Name> remembered_;
};

}  // namespace ckptfs
