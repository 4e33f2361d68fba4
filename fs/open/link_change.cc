#include "fs/open/link_change.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "backend/base/error.h"
#include "catalog/store/unlinked_directory.h"

namespace ckptfs {

LinkChange::LinkChange(InodeTable& inodes, NodeId node)
    : inodes_(inodes),
      shard_(inodes.ShardOf(node)),
      node_(node),
      name_(UnlinkedName(InodeOf(node))) {
  MutexLock lock(shard_.mutex);
  Await(shard_, node_, lock);
  shard_.inodes[node_].links_are_changing = true;
  inodes_.LinkChangeBegins();
}

LinkChange::~LinkChange() {
  const MutexLock lock(shard_.mutex);
  shard_.inodes.at(node_).links_are_changing = false;
  InodeTable::RemoveIfUnused(shard_, node_);
  shard_.links_changed.notify_all();
  inodes_.LinkChangeEnds();
}

bool LinkChange::Await(InodeTable::Shard& shard, NodeId node, MutexLock& lock) {
  while (true) {
    const Inode* const inode = InodeTable::Find(shard, node);
    if (inode == nullptr) return false;
    if (!inode->links_are_changing) return inode->HasHiddenLink();
    shard.links_changed.wait(lock.native());
  }
}

Orphan::Link LinkChange::link() const {
  const MutexLock lock(shard_.mutex);
  const Inode& inode = shard_.inodes.at(node_);
  return inode.orphan ? inode.orphan->link : Orphan::Link::kNotNeeded;
}

FormerName LinkChange::last() const {
  const MutexLock lock(shard_.mutex);
  const Inode& inode = shard_.inodes.at(node_);
  return inode.orphan ? inode.orphan->last : FormerName();
}

void LinkChange::MakeLink(const UniqueFd& directory, int file_fd) const {
  const auto link = [&] {
    return linkat(file_fd, "", directory.get(), name_.c_str(), AT_EMPTY_PATH);
  };
  int result = link();
  if (result != 0 && errno == EEXIST) {  // left by an earlier partial failure
    unlinkat(directory.get(), name_.c_str(), 0);
    result = link();
  }
  CheckSyscall(result, "link a file that is open into the hidden directory");
}

void LinkChange::SetLinked() {
  const MutexLock lock(shard_.mutex);
  inodes_.SetLink(shard_, node_, shard_.inodes.at(node_), Orphan::Link::kThere).last = {};
}

void LinkChange::EndOrphan() {
  std::unique_ptr<Orphan> ended;  // destroyed after the lock is released: that may delete the file
  const MutexLock lock(shard_.mutex);
  Inode& inode = shard_.inodes.at(node_);
  if (inode.orphan) ended = inodes_.EndOrphan(shard_, node_, inode);
}

}  // namespace ckptfs
