// The regular files that programs have open.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "backend/base/unique_fd.h"
#include "fs/kernel_cache.h"
#include "fs/node_id.h"

namespace ckptfs {

// How the kernel is to serve an open file. An inode has one way at a time: the kernel answers EIO
// to an open that would mix them, or that names a second backing id.
struct OpenReply {
  int backing_id = 0;     // 0: reads and writes come to the daemon
  bool uncached = false;  // and the kernel keeps no pages: the file changes behind its back
  uint64_t handle = 0;
  bool first_writer = false;  // nobody had it open for writing before
};

// One open of a file for writing, as an EBUSY has to name it.
struct WriterHandle {
  NodeId node = 0;
  pid_t pid = 0;  // thread id of the opener
};

// All open regular files of a mount, by node. A file's backing id (or, without passthrough, one
// descriptor for reading and writing) and the descriptor that it was made of live from its first
// open to its last release: no descriptor and no memory for a file that nobody uses. Sharded; any thread may call anything. Never calls
// out with a lock held but to KernelCache::OpenBacking and CloseBacking, which wait for nobody.
class OpenFiles {
 public:
  explicit OpenFiles(KernelCache& kernel) : kernel_(kernel) {}

  // Counts one more open of `node`. `open_backing` is called if it is the first: it returns a
  // descriptor (O_PATH for passthrough, else one to read and, if it can be had, write). Throws
  // what that throws, or Error for what the kernel says, and then counts nothing. If the kernel
  // refuses passthrough, `open_backing` is called a second time. `may_pass_through`: whether the
  // first open may choose passthrough where it can be had.
  OpenReply Open(NodeId node, bool for_writing, pid_t pid,
                 const std::function<UniqueFd(bool passthrough)>& open_backing,
                 bool may_pass_through = true);

  // Ends one open. Returns true if it was the last one for writing.
  bool Release(NodeId node, uint64_t handle);

  bool IsOpen(NodeId node) const;
  bool HasWriters(NodeId node) const;
  // The handles that are open for writing on nodes with that slot.
  std::vector<WriterHandle> Writers(Slot slot) const;

  // All open nodes with that slot.
  std::vector<NodeId> Nodes(Slot slot) const;

  // The daemon's own descriptor of an open file, for when the kernel cannot pass data through.
  // Null if there is none. Valid as long as the reference.
  std::shared_ptr<const UniqueFd> DataFd(NodeId node) const;

  // A descriptor, if only O_PATH, of an open file, by which it can be reached even when its volume
  // has been destroyed, which no handle does then. Null if the file is not open.
  std::shared_ptr<const UniqueFd> AnyFd(NodeId node) const;

  // What the kernel was found to be able to: false after it refused a backing file for want of
  // privilege or support. Decides for all later first opens.
  bool passthrough() const noexcept { return passthrough_; }
  void DisablePassthrough() noexcept { passthrough_ = false; }

 private:
  struct File {
    int backing_id = 0;
    std::shared_ptr<const UniqueFd> path_fd;  // what the backing id was made of
    std::shared_ptr<const UniqueFd> data_fd;
    uint32_t opens = 0;
    std::list<WriterHandle> writers;  // list: a handle is the address of its element
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<NodeId, File> files;
  };
  static constexpr size_t kShards = 16;

  Shard& ShardOf(NodeId node) { return shards_[(node ^ node >> kInodeBits) % kShards]; }
  const Shard& ShardOf(NodeId node) const { return shards_[(node ^ node >> kInodeBits) % kShards]; }
  void OpenBackingFile(File& file, const std::function<UniqueFd(bool)>& open_backing,
                       bool may_pass_through);

  KernelCache& kernel_;
  std::atomic<bool> passthrough_{true};
  std::array<Shard, kShards> shards_;
};

}  // namespace ckptfs
