// Changes of the hidden links by which checkpoints find files that have no name.
#pragma once

#include <string>

#include "backend/base/unique_fd.h"
#include "fs/nodes/node_id.h"
#include "fs/open/inode_table.h"

namespace ckptfs {

// While it exists, nobody else changes the hidden link of that inode, on disk or in its record, and nobody
// reads its attributes: whoever wants to waits, as if it held a lock of that one inode. (Not the lock of the
// shard: to make a copy may take 100 ms.) Never more than one on a thread; no freeze lock is passed meanwhile.
class LinkChange {
 public:
  LinkChange(InodeTable& inodes, NodeId node);
  ~LinkChange();
  LinkChange(const LinkChange&) = delete;
  LinkChange& operator=(const LinkChange&) = delete;

  // Waits until there is none of that node, with the lock that it takes. Returns whether there is a hidden
  // link; none is made or removed as long as the lock is held.
  static bool Await(InodeTable::Shard& shard, NodeId node, MutexLock& lock) REQUIRES(shard.mutex);

  NodeId node() const noexcept { return node_; }
  // Of the link, in the hidden directory.
  const std::string& name() const noexcept { return name_; }

  // What the record says: of no orphan, kNotNeeded and no name. It stays so, but that an open makes kNotNeeded
  // kImpossible.
  Orphan::Link link() const;
  FormerName last() const;

  // On disk; throws Error.
  void MakeLink(const UniqueFd& directory, int file_fd) const;
  // In the record: the name has gone and the link is there; it is no orphan any more.
  void SetLinked();
  void EndOrphan();

 private:
  InodeTable& inodes_;
  InodeTable::Shard& shard_;
  const NodeId node_;
  const std::string name_;
};

}  // namespace ckptfs
