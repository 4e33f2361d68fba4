// The regular files that programs have open.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "backend/base/unique_fd.h"
#include "fs/nodes/descriptor_shares.h"
#include "fs/nodes/kernel_cache.h"
#include "fs/nodes/node_id.h"
#include "fs/open/small_files.h"

namespace ckptfs {

// How the kernel is to serve an open file. An inode has one way at a time: the kernel answers EIO
// to an open that would mix them, or that names a second backing id.
struct OpenReply {
  int backing_id = 0;        // 0: reads and writes come to the daemon
  bool keeps_pages = false;  // and the kernel need not drop the pages that it has
  bool uncached = false;     // and the kernel keeps no pages: the file changes behind its back
  uint64_t handle = 0;
  bool first_writer = false;  // nobody had it open for writing before
};

// One open of a file for writing, as an EBUSY has to name it.
struct WriterHandle {
  NodeId node = 0;
  pid_t pid = 0;                // thread id of the opener
  uid_t user = 0;               // and whose it is
  bool through_daemon = false;  // the kernel may have pages of it that a mapping has stored to
  bool append_only = false;     // writes by it go to AppendFd
  bool uncached = false;        // OpenReply::uncached
  int lost_writes = 0;          // errno that its next fsync has to tell; 0: none
};

// What an open asks for.
struct OpenWish {
  bool for_writing = false;
  pid_t pid = 0;
  uid_t user = 0;
  bool may_pass_through = true;  // if it is the first
  // If it is the first, and the file is small, the kernel may read it through its page cache.
  bool may_use_page_cache = false;
  bool append_only = false;  // for writing: whether the file has that attribute (chattr +a)
};

// How an open file is reached. Each is called with the lock of OpenFiles held that the node has, and so
// must call nothing of it: that rules out MountContext::Resolve, and whatever sends a request to the
// mount. To wait for the lease of FileTree::IsOpenUnderneath is safe: that is taken and given back with
// the same lock held.
struct FileOpener {
  // For passthrough, O_PATH or O_RDONLY; with OpenWish::may_use_page_cache the latter.
  std::function<UniqueFd()> for_passthrough;
  // To read and, if it can be had, write.
  std::function<UniqueFd()> for_daemon;
  // Whether somebody may have the file mapped for writing who has closed it; asked where
  // OpenWish::may_use_page_cache is set, which was decided before the lock was taken.
  std::function<bool()> may_be_mapped;
};

// All open regular files of a mount, by node, and which way the data of each goes. What a file has
// of descriptors and backing ids lives from its first open to its last release: no descriptor and no
// memory for a file that nobody uses. The ways:
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
// Sharded; any thread may call anything. Never calls out with a lock held but to a FileOpener and to
// KernelCache::OpenBacking and CloseBacking, which wait for nobody.
class OpenFiles {
 public:
  OpenFiles(KernelCache& kernel, DescriptorShares& shares) : kernel_(kernel), shares_(shares) {}

  // Whether that is the handle of an open for writing.
  static bool IsOfWriter(uint64_t handle) noexcept { return handle != 0 && handle % 2 == 0; }

  // Counts one more open of `node`. Throws what `opener` throws, or Error for what the kernel says,
  // and then counts nothing.
  OpenReply Open(NodeId node, const OpenWish& asked, const FileOpener& opener);

  // Ends one open. Returns true if it was the last one for writing.
  bool Release(NodeId node, uint64_t handle);

  // A file that was just made has no capabilities (security.capability), for which the kernel asks
  // before its first write. Remembered while it is open, until somebody is about to set them.
  void NoteNoCapability(NodeId node);
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
  struct Opener {
    uid_t user = 0;
    uint32_t opens = 0;
  };
  struct File {
    int backing_id = 0;
    std::shared_ptr<const UniqueFd> path_fd;    // what the backing id was made of
    std::shared_ptr<const UniqueFd> data_fd;    // without a backing id; see GiveFd
    bool can_write = false;                     // by data_fd
    std::shared_ptr<const UniqueFd> append_fd;  // of handles that are append_only
    bool append_only = false;                   // when it was opened first
    uint32_t opens = 0;
    uint64_t read_end = 0;  // of what the kernel may have read since it last dropped its pages
    bool no_capability = false;
    std::list<WriterHandle> writers;  // list: a handle is the address of its element
    std::vector<Opener> openers;
    DescriptorClaim claim;
    DescriptorClaim append_claim;  // for append_fd
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<NodeId, File> files;
    // A checkpoint asks for those of its workspace, and must not look through all that others have open.
    std::map<Slot, std::set<NodeId>> of_slot;
  };
  static constexpr size_t kShards = 16;

  Shard& ShardOf(NodeId node) { return shards_[(node ^ node >> kInodeBits) % kShards]; }
  const Shard& ShardOf(NodeId node) const { return shards_[(node ^ node >> kInodeBits) % kShards]; }
  static void Remove(Shard& shard, std::unordered_map<NodeId, File>::iterator position);
  DescriptorClaim Claim(uid_t user);
  static void NoteOpener(File& file, uid_t user);
  static void NoteRelease(File& file, uid_t user);
  // Of those with that slot, each with its shard locked.
  template <typename Visit>
  void ForEach(Slot slot, const Visit& visit) const;
  void OpenFirst(NodeId node, File& file, const OpenWish& wish, const FileOpener& opener);
  // Null also if the kernel serves it itself. With the shard locked.
  static File* FindThroughDaemon(Shard& shard, NodeId node);
  static void NotePagesAtOpen(File& file, bool keeps_pages);
  // False if the kernel has no passthrough, which is remembered.
  bool PassThrough(File& file, UniqueFd& fd);

  KernelCache& kernel_;
  DescriptorShares& shares_;
  std::atomic<bool> passthrough_{true};
  std::array<Shard, kShards> shards_;
  SmallFiles small_;  // a node's with its shard locked
};

}  // namespace ckptfs
