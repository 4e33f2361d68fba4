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

// Opens and closes the regular files of a mount, and chooses how each file's data is served. The descriptors
// and backing ids of a file (Inode::open) exist from its first open to its last release: an unused file costs
// neither descriptors nor memory. The ways:
//
// - Passthrough: the kernel reads, writes and maps the backing file. For everything that can be written to.
// - The kernel's page cache, for small files opened for reading while no writer exists. A passthrough read
//   makes the kernel request attributes again at the next stat (the access time may have changed), and each
//   first open costs a descriptor and two calls for the backing id. With the page cache, data read once is
//   still there at the next open, which costs the daemon no system call: grep -r over small files takes less
//   than half the time. Such cached data is never stale: see SmallFiles, and FileTree::Open, which makes the
//   kernel drop the pages before the first passthrough writer. A writer that opens the file meanwhile writes
//   through the daemon.
// - The daemon, where passthrough is not available. Also uses the kernel's page cache. Also for files with
//   set-id bits: whether a write clears those depends on the writer's privileges and groups, and with
//   passthrough all writes look alike.
// - The daemon without a page cache, for append-only files. The kernel does not know that they are
//   append-only: it would let a writer map them or remove O_APPEND from a descriptor. Neither can change
//   earlier data here, because such an open cannot be mapped and its writes go to a descriptor that only
//   appends. While such a file is still open by passthrough from before it got the attribute, the kernel
//   refuses such opens (EIO). The kernel sees the end of that at once; OpenFiles sees it only at RELEASE.
//
// Each open file is charged to one of the users that have it open (DescriptorShares), whether or not it costs
// a descriptor at the moment; a user at the limit gets ENFILE. The first user is charged; when that user has
// closed the file, another one is.
//
// Thread-safe. With a lock held it calls only a FileOpener and KernelCache::OpenBacking and CloseBacking,
// which do not wait for requests.
class OpenFiles {
 public:
  OpenFiles(InodeTable& inodes, KernelCache& kernel, DescriptorShares& shares)
      : inodes_(inodes), kernel_(kernel), shares_(shares) {}

  // Whether the handle is of an open for writing.
  static bool IsOfWriter(uint64_t handle) noexcept { return handle != 0 && handle % 2 == 0; }

  // Counts one more open of `node`. Throws what `opener` throws, or Error for the kernel's refusal; then
  // counts nothing. A file that has no name must be part of checkpoints from now on (OrphanInodes).
  OpenReply Open(NodeId node, const OpenWish& asked, const FileOpener& opener);

  // Ends one open. Returns true if it was the last one for writing. If it was for writing, the file may still
  // be mapped.
  bool Release(NodeId node, uint64_t handle);
  // The same for an open that the kernel has not been told about.
  bool TakeBack(NodeId node, uint64_t handle);

  // A newly created file has no capabilities (security.capability), which the kernel requests before the
  // first write. Remembered while the file is open, until they are about to be set.
  void MayHaveCapability(NodeId node);
  bool HasNoCapability(NodeId node) const;

  bool IsOpen(NodeId node) const;
  bool HasWriters(NodeId node) const;
  // Whether the node is open for writing or, if not, `look` says yes. The node cannot be opened during
  // `look`, so `look` must be quick and must not call this class.
  bool HasWritersOr(NodeId node, const std::function<bool()>& look) const;
  // Whether the kernel may hold pages with a mapping's stores that have not reached the daemon.
  bool MayHoldPages(NodeId node) const;
  // The kernel is about to get this file's data up to `end` through the daemon.
  void NoteRead(NodeId node, uint64_t end);
  // Whether the kernel may hold completely read pages of such a file from that offset on. Forgets them: the
  // caller must have them dropped next.
  bool TakePagesRead(NodeId node, uint64_t begin);
  // The handles open for writing on nodes with that slot.
  std::vector<WriterHandle> Writers(Slot slot) const;

  // All open nodes with that slot.
  std::vector<NodeId> Nodes(Slot slot) const;

  // The daemon's own descriptor of an open file that is not passed through. Null if there is none (yet). The
  // descriptor stays open while the reference exists.
  std::shared_ptr<const UniqueFd> DataFd(NodeId node) const;
  // The descriptor for writes through that handle if it may only append; else null.
  std::shared_ptr<const UniqueFd> AppendFd(NodeId node, uint64_t handle) const;
  // Whether the kernel bypasses its page cache for writes through that handle.
  bool IsUncached(NodeId node, uint64_t handle) const;
  // Open nodes with that slot that go through the daemon and have no descriptor yet.
  std::vector<NodeId> WithoutFd(Slot slot) const;
  // Gives such a file the descriptor that `open` makes; `open` may call this class. Returns the same as
  // DataFd afterwards.
  std::shared_ptr<const UniqueFd> GiveFd(NodeId node, const std::function<UniqueFd()>& open);

  // A descriptor of an open file, perhaps only O_PATH. It works even when the file's volume has been
  // destroyed, where file handles no longer do. Null if the file is not open.
  std::shared_ptr<const UniqueFd> AnyFd(NodeId node) const;

  // fsync(2) reports lost writes once to each open description, but the daemon syncs through its own
  // descriptor, so the kernel reports them only to the first caller. The errno reported through `told` is
  // therefore kept for the node's other handles that are open for writing (`told` 0: for all of them).
  void NoteLostWrites(NodeId node, uint64_t told, int errno_value);
  // The errno to report through that handle, once; 0: none.
  int TakeLostWrites(NodeId node, uint64_t handle);

  // The file may be append-only from now on, which its next first open must find out. After a change of ctime
  // the next read may have to update the access time (relatime), which only the underlying filesystem can
  // see.
  void AttributesChanged(NodeId node);

  // Whether the kernel can pass through: false after it refused a backing file for lack of privilege or
  // support. Applies to all later first opens.
  bool passthrough() const noexcept { return passthrough_; }
  void DisablePassthrough() noexcept { passthrough_ = false; }

 private:
  DescriptorClaim Claim(uid_t user);
  void Reach(NodeId node, Inode& inode, InodeTable::Shard& shard, const OpenWish& wish,
             const FileOpener& opener) REQUIRES(shard.mutex);
  void OpenFirst(OpenFile& file, bool is_small, const OpenWish& wish, const FileOpener& opener);
  bool End(NodeId node, uint64_t handle, bool may_be_mapped);
  // What `look` says about the open file; a default value if it is not open.
  template <typename Look>
  auto LookAt(NodeId node, const Look& look) const;
  // Visits the open files with that slot, each with its shard locked.
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
