// The regular files that programs have open.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "backend/base/unique_fd.h"
#include "fs/nodes/descriptor_shares.h"
#include "fs/nodes/kernel_cache.h"
#include "fs/nodes/node_id.h"
#include "fs/open/inode_table.h"
#include "fs/open/open_file.h"

namespace ckptfs {

// Opens and closes the regular files of a mount, and says which way the data of each goes. What a file
// has of descriptors and backing ids (Inode::open) lives from its first open to its last release: no
// descriptor and no memory for a file that nobody uses. The ways:
//
// - Passthrough: the kernel reads, writes and maps the backing file. All that can be written to.
// - The kernel's page cache, for small files that were opened for reading when nobody could write to
//   them. A passthrough read makes the kernel ask for the attributes anew at the next stat (the
//   access time may have changed), and each first open costs a descriptor and two calls for the
//   backing id. Here what was read once is there at the next open, which costs the daemon no system
//   call at all: grep -r over small files takes less than half the time. Nothing that is cached so
//   may be out of date: see SmallFiles, and FileTree::Open, which has the kernel drop the pages
//   before the first passthrough writer. Whoever opens the file for writing meanwhile writes through
//   the daemon.
// - The daemon, where there is no passthrough. The kernel's page cache as well. Also for files with set-id
//   bits: whether a write clears those is for the writer's privileges and groups to say, and with
//   passthrough all writes look alike.
// - The daemon without a page cache, for append-only files. The kernel does not know that they are, and
//   so would let a writer map them, or take O_APPEND off a descriptor: neither gets at what was written
//   before here, as such an open cannot be mapped and its writes go to a descriptor that only appends.
//   While somebody has such a file open by passthrough since before it got the attribute, the kernel
//   refuses such opens (EIO). It knows at once when that ends; the books here only at RELEASE.
//
// Each open file is on the account of one of those who have it open (DescriptorShares), whether it costs a
// descriptor at the moment or not: one who has too many gets ENFILE. The first pays; when he has closed it,
// another one.
//
// Any thread may call anything. Never calls out with a lock held but to a FileOpener and to
// KernelCache::OpenBacking and CloseBacking, which wait for nobody.
class OpenFiles {
 public:
  OpenFiles(InodeTable& inodes, KernelCache& kernel, DescriptorShares& shares)
      : inodes_(inodes), kernel_(kernel), shares_(shares) {}

  // Whether that is the handle of an open for writing.
  static bool IsOfWriter(uint64_t handle) noexcept { return handle != 0 && handle % 2 == 0; }

  // Counts one more open of `node`. Throws what `opener` throws, or Error for what the kernel says,
  // and then counts nothing. A file that has no name any more is one, from now on, that a checkpoint has to
  // have (OrphanInodes).
  OpenReply Open(NodeId node, const OpenWish& asked, const FileOpener& opener);

  // Ends one open. Returns true if it was the last one for writing. Whoever could write by it may have the
  // file mapped.
  bool Release(NodeId node, uint64_t handle);
  // The same of one of which the kernel has not been told.
  bool TakeBack(NodeId node, uint64_t handle);

  // A file that was just made has no capabilities (security.capability), for which the kernel asks
  // before its first write. Remembered while it is open, until somebody is about to set them.
  void MayHaveCapability(NodeId node);
  bool HasNoCapability(NodeId node) const;

  bool IsOpen(NodeId node) const;
  bool HasWriters(NodeId node) const;
  // Whether `look` says so, or somebody has the node open for writing: then `look` is not called.
  // Nobody opens the node meanwhile; so `look` must not take long nor call this.
  bool HasWritersOr(NodeId node, const std::function<bool()>& look) const;
  // Whether a mapping may have stored to pages of the kernel's that have not come to the daemon yet.
  bool MayHoldPages(NodeId node) const;
  // The kernel is about to be given what a file that goes through the daemon holds before `end`.
  void NoteRead(NodeId node, uint64_t end);
  // Whether the kernel may hold pages of such a file, from that offset on, that were read whole; forgets
  // them, for who has them dropped next.
  bool TakePagesRead(NodeId node, uint64_t begin);
  // The handles that are open for writing on nodes with that slot.
  std::vector<WriterHandle> Writers(Slot slot) const;

  // All open nodes with that slot.
  std::vector<NodeId> Nodes(Slot slot) const;

  // The daemon's own descriptor of an open file, for when the kernel does not pass data through.
  // Null if there is none (yet). Valid as long as the reference.
  std::shared_ptr<const UniqueFd> DataFd(NodeId node) const;
  // The one for what is written by that handle, if that may only append; else null.
  std::shared_ptr<const UniqueFd> AppendFd(NodeId node, uint64_t handle) const;
  // Whether the kernel writes past its page cache by that handle.
  bool IsUncached(NodeId node, uint64_t handle) const;
  // Open nodes with that slot that go through the daemon and have no descriptor yet.
  std::vector<NodeId> WithoutFd(Slot slot) const;
  // Gives such a file the descriptor that `open` makes, which may call this. Returns what DataFd does then.
  std::shared_ptr<const UniqueFd> GiveFd(NodeId node, const std::function<UniqueFd()>& open);

  // A descriptor, if only O_PATH, of an open file, by which it can be reached even when its volume
  // has been destroyed, which no handle does then. Null if the file is not open.
  std::shared_ptr<const UniqueFd> AnyFd(NodeId node) const;

  // fsync(2) tells each open description once that writes were lost; but the daemon syncs by a
  // descriptor of its own, and the kernel tells the first of those only. So what one was told is kept for
  // the other handles on the node that are open for writing (0: all of them).
  void NoteLostWrites(NodeId node, uint64_t told, int errno_value);
  // The errno to tell by that handle, and not again; 0: none.
  int TakeLostWrites(NodeId node, uint64_t handle);

  // The file may be append-only from now on, which its next first open has to find out; and by its ctime
  // the next read may have to change its access time (relatime), which is seen underneath only.
  void AttributesChanged(NodeId node);

  // What the kernel was found to be able to: false after it refused a backing file for want of
  // privilege or support. Decides for all later first opens.
  bool passthrough() const noexcept { return passthrough_; }
  void DisablePassthrough() noexcept { passthrough_ = false; }

 private:
  DescriptorClaim Claim(uid_t user);
  void Reach(NodeId node, Inode& inode, InodeTable::Shard& shard, const OpenWish& wish,
             const FileOpener& opener) REQUIRES(shard.mutex);
  void OpenFirst(OpenFile& file, bool is_small, const OpenWish& wish, const FileOpener& opener);
  bool End(NodeId node, uint64_t handle, bool may_be_mapped);
  // What `look` says of the file; if it is not open, what a default is.
  template <typename Look>
  auto LookAt(NodeId node, const Look& look) const;
  // Of those with that slot, each with its shard locked.
  template <typename Visit>
  void ForEach(Slot slot, const Visit& visit) const;
  // False if the kernel has no passthrough, which is remembered.
  bool PassThrough(OpenFile& file, UniqueFd& fd);

  InodeTable& inodes_;
  KernelCache& kernel_;
  DescriptorShares& shares_;
  std::atomic<bool> passthrough_{true};
};

}  // namespace ckptfs
