#include "fs/open/orphan_inodes.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "catalog/store/unlinked_directory.h"
#include "fs/nodes/attributes.h"
#include "fs/nodes/freeze_lock.h"
#include "fs/nodes/live_workspace.h"

namespace ckptfs {

// --- Adding and looking up -------------------------------------------------------------------------

void OrphanInodes::AddUnnamed(NodeId node, FormerName directory) {
  InodeTable::Shard& shard = inodes_.ShardOf(node);
  const MutexLock lock(shard.mutex);
  Inode& inode = shard.inodes[node];
  inodes_.SetLink(shard, node, inode, Orphan::Link::kPossible).last = std::move(directory);
}

void OrphanInodes::NameGone(NodeId node, UniqueFd fd, DescriptorClaim claim, FormerName last) {
  InodeTable::Shard& shard = inodes_.ShardOf(node);
  const MutexLock lock(shard.mutex);
  Inode& inode = shard.inodes[node];
  if (!inode.orphan) {
    // It may have been opened since the caller checked; later opens handle this themselves.
    const auto link = inode.open ? Orphan::Link::kImpossible : Orphan::Link::kNotNeeded;
    inodes_.SetLink(shard, node, inode, link);
  }
  inode.orphan->fd = std::move(fd);
  inode.orphan->claim = std::move(claim);
  inode.orphan->last = std::move(last);
}

bool OrphanInodes::Contains(NodeId node) const {
  if (!inodes_.has_orphans()) return false;
  InodeTable::Shard& shard = inodes_.ShardOf(node);
  const MutexLock lock(shard.mutex);
  const Inode* const inode = InodeTable::Find(shard, node);
  return inode != nullptr && inode->orphan && inode->orphan->link != Orphan::Link::kNotNeeded;
}

bool OrphanInodes::HasLink(NodeId node) const {
  if (!inodes_.has_orphans()) return false;
  InodeTable::Shard& shard = inodes_.ShardOf(node);
  const MutexLock lock(shard.mutex);
  const Inode* const inode = InodeTable::Find(shard, node);
  return inode != nullptr && inode->HasHiddenLink();
}

// --- Attributes ----------------------------------------------------------------------------------

// Read with the lock held, so that no change begins.
struct statx OrphanInodes::Stat(NodeId node, int fd) const {
  struct statx status = StatxAt(fd, "");
  if (!inodes_.has_orphans() || status.stx_nlink == 0 || !S_ISREG(status.stx_mode)) return status;
  InodeTable::Shard& shard = inodes_.ShardOf(node);
  MutexLock lock(shard.mutex);
  const bool linked = LinkChange::Await(shard, node, lock);
  status = StatxAt(fd, "");
  if (linked && status.stx_nlink != 0) --status.stx_nlink;
  return status;
}

// A file with a name also has the hidden link only for a moment, or after a failure.
bool OrphanInodes::Stat(const View& files, int directory_fd, const char* name,
                        struct statx* status) const {
  if (!StatxIfThere(directory_fd, name, status)) return false;
  if (!inodes_.has_orphans() || status->stx_nlink < 2 || !S_ISREG(status->stx_mode)) return true;
  const uint64_t inode = status->stx_ino;
  const NodeId node = MakeNumber(files.slot, inode);
  InodeTable::Shard& shard = inodes_.ShardOf(node);
  MutexLock lock(shard.mutex);
  const bool linked = LinkChange::Await(shard, node, lock);
  if (!StatxIfThere(directory_fd, name, status)) return false;
  if (linked && status->stx_ino == inode && status->stx_nlink > 1) --status->stx_nlink;
  return true;
}

// --- Removing and restoring names ----------------------------------------------------------------

OrphanInodes::Removal::Removal(OrphanInodes& owner, NodeId node, const Volume& volume, int file_fd,
                               const std::string& path)
    : file_fd_(file_fd), change_(std::make_unique<LinkChange>(owner.inodes_, node)) {
  try {
    directory_ = MakeUnlinkedDirectory(volume);
    Failpoint("unlinked.after-directory");
    SetLastPath(file_fd_, path);
    // On disk: a file with a name, and an attribute that users neither see nor notice.
    change_->MakeLink(directory_, file_fd_);
    linked_ = true;
    // On disk: the name and the link.
    Failpoint("unlinked.after-link");
  } catch (const std::exception& error) {
    spdlog::warn("{} has lost its last name while it is open: {}; it will be copied at checkpoints",
                 path, error.what());
  }
}

void OrphanInodes::Removal::Done() {
  if (!linked_) return;
  // On disk: the link only. A snapshot would keep the file; the next mount removes it.
  Failpoint("unlinked.after-removal");
  change_->SetLinked();
  linked_ = false;
}

OrphanInodes::Removal::~Removal() {
  if (!linked_) return;
  if (unlinkat(directory_.get(), change_->name().c_str(), 0) != 0) {
    spdlog::error("a link that is not needed cannot be removed: {}; the next mount does it",
                  std::generic_category().message(errno));
  }
  try {
    ForgetLastPath(file_fd_);
  } catch (const Error& error) {
    spdlog::debug("{}", error.what());
  }
}

void OrphanInodes::GiveName(NodeId node, const Volume& volume, int file_fd,
                            const std::function<void()>& link) {
  if (!Contains(node)) {
    link();
    return;
  }
  LinkChange change(inodes_, node);
  link();
  if (change.link() == Orphan::Link::kThere) {
    Failpoint("unlinked.after-name");
    try {
      const UniqueFd directory = OpenUnlinkedDirectory(volume);
      CheckSyscall(unlinkat(directory.get(), change.name().c_str(), 0), "remove a hidden link");
      ForgetLastPath(file_fd);
    } catch (const Error& error) {
      // Still counted, and hidden as before, until the kernel forgets the file.
      spdlog::error("a file was given a name: {}", error.what());
      return;
    }
  }
  change.EndOrphan();
}

void OrphanInodes::Forget(NodeId node, const std::shared_ptr<View>& view) {
  if (!inodes_.has_nameless()) return;
  UniqueFd closed_last;  // closed after the lock is released: closing may delete the file
  {
    InodeTable::Shard& shard = inodes_.ShardOf(node);
    const MutexLock lock(shard.mutex);
    Inode* const inode = InodeTable::Find(shard, node);
    if (inode == nullptr || !inode->orphan) return;
    closed_last = std::move(inode->orphan->fd);
    inode->orphan->claim = {};
    if (inode->orphan->link == Orphan::Link::kNotNeeded) {
      inodes_.EndOrphan(shard, node, *inode);
      InodeTable::RemoveIfUnused(shard, node);
      return;
    }
    // A lookup that is taken back may not be the last; the kernel's own FORGET comes after RELEASE.
    if (inode->open) return;
  }
  forgetters_.Post(SlotOf(node), [this, node, view] {
    try {
      RemoveLink(node, *view);
    } catch (const std::exception& error) {
      spdlog::error("a file that nobody has open any more: {}; the next mount removes it",
                    error.what());
    }
  });
}

void OrphanInodes::RemoveLink(NodeId node, const View& view) {
  UniqueFd file;  // closed last, with no lock held: closing may delete much data
  // A checkpoint sees the file, and then has counted it, or does not.
  const FreezeLock::Pass pass(view.workspace->freeze_lock(), node);
  LinkChange change(inodes_, node);
  const bool linked = change.link() == Orphan::Link::kThere;
  change.EndOrphan();
  // After a rollback the volume is a snapshot, which keeps its content, or has been destroyed.
  if (!linked || view.workspace->live()->volume != view.volume) return;
  Failpoint("unlinked.before-forget");
  const UniqueFd directory = OpenUnlinkedDirectory(*view.volume);
  if (!directory.valid()) return;
  file.Reset(openat(directory.get(), change.name().c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  CheckSyscall(unlinkat(directory.get(), change.name().c_str(), 0), "remove its link");
  Failpoint("unlinked.after-forget");
}

}  // namespace ckptfs
