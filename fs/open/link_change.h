// Changes of the hidden links by which checkpoints find files without a name.
#pragma once

#include <string>

#include "backend/base/unique_fd.h"
#include "fs/nodes/node_id.h"
#include "fs/open/inode_table.h"

namespace ckptfs {

// While it exists, no other thread changes that inode's hidden link, on disk or in its record, or reads its
// attributes. It acts as a lock of that one inode: other threads wait. (The shard's lock would not do: a copy
// may take 100 ms.) At most one per thread; never held while passing a freeze lock.
class LinkChange {
 public:
  LinkChange(InodeTable& inodes, NodeId node);
  ~LinkChange();
  LinkChange(const LinkChange&) = delete;
  LinkChange& operator=(const LinkChange&) = delete;

  // Waits, releasing `lock` meanwhile, until no change of that node is in progress. Returns whether there is
  // a hidden link; none is made or removed while the lock is held.
  static bool Await(InodeTable::Shard& shard, NodeId node, MutexLock& lock) REQUIRES(shard.mutex);

  NodeId node() const noexcept { return node_; }
  // The link's name in the hidden directory.
  const std::string& name() const noexcept { return name_; }

  // From the record; if the inode is no orphan: kNotNeeded and no name. Stays the same while this exists,
  // except that an open turns kNotNeeded into kImpossible.
  Orphan::Link link() const;
  FormerName last() const;

  // Makes the link on disk; throws Error.
  void MakeLink(const UniqueFd& directory, int file_fd) const;
  // Update the record: the name has gone and the link exists; the inode is no longer an orphan.
  void SetLinked();
  void EndOrphan();

 private:
  InodeTable& inodes_;
  InodeTable::Shard& shard_;
  const NodeId node_;
  const std::string name_;
};

}  // namespace ckptfs
