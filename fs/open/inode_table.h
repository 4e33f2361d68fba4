// What the daemon knows about the inodes that programs use.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"
#include "fs/nodes/descriptor_shares.h"
#include "fs/nodes/node_id.h"
#include "fs/open/open_file.h"
#include "fs/open/small_files.h"

namespace ckptfs {

inline constexpr size_t kInodeShards = 16;

// The last name that a file had.
struct FormerName {
  FileId directory;
  std::string name;
};

// An inode without a name that the kernel still knows.
struct Orphan {
  // Whether a checkpoint finds it in the volume's hidden directory (catalog/store/unlinked_directory.h).
  enum class Link : uint8_t {
    kNotNeeded,   // not opened since it lost its name: checkpoints can leave it out
    kImpossible,  // can be included only as a copy
    kPossible,    // not linked yet
    kThere,       // linked, under a name that users do not see
  };

  Link link = Link::kNotNeeded;
  FormerName last;  // not set for kThere
  // Keeps the underlying inode alive until the kernel forgets it, if it was not open when it lost its name.
  UniqueFd fd;
  DescriptorClaim claim;  // for `fd`; charged to the user that removed the name
};

// The record of one inode.
struct Inode {
  bool HasWriters() const noexcept { return open && !open->writers.empty(); }
  bool HasHiddenLink() const noexcept { return orphan && orphan->link == Orphan::Link::kThere; }
  bool IsUnused() const noexcept {
    return !open && maybe_mapped == 0 && !orphan && !links_are_changing;
  }

  std::optional<OpenFile> open;
  // A writer has closed the inode and may still have it mapped (MappedFiles). Each such close sets a new
  // number; 0: none.
  uint64_t maybe_mapped = 0;
  std::unique_ptr<Orphan> orphan;
  // The inode's links and `orphan` disagree at the moment (LinkChange).
  bool links_are_changing = false;
};

// The records, in shards. One lock per shard guards all that is known of the shard's inodes, so a request
// sees a consistent state of an inode. OpenFiles, MappedFiles and OrphanInodes implement what is done with
// the records.
//
// An inode has a record while there is something to record. Owned by the mount. Thread-safe. With a shard's
// lock held, the only blocking calls are those that FileOpener allows, and the only other lock taken is that
// of DescriptorShares.
class InodeTable {
 public:
  // The nodes of one slot, so that a checkpoint finds those of its workspace without searching all others.
  struct OfSlot {
    std::set<NodeId> open;
    std::set<NodeId> maybe_mapped;
    std::set<NodeId> without_link;  // kImpossible and kPossible
    uint64_t linked = 0;            // kThere

    bool empty() const noexcept {
      return open.empty() && maybe_mapped.empty() && without_link.empty() && linked == 0;
    }
  };

  struct Shard {
    mutable Mutex mutex;
    std::condition_variable links_changed;  // Inode::links_are_changing
    std::unordered_map<NodeId, Inode> inodes GUARDED_BY(mutex);
    std::map<Slot, OfSlot> of_slot GUARDED_BY(mutex);
    SmallFiles small GUARDED_BY(mutex){kInodeShards};
    std::vector<NodeId> newly_closed GUARDED_BY(mutex);  // since the last NextMaybeMapped
  };
  using Shards = std::array<Shard, kInodeShards>;

  Shard& ShardOf(NodeId node) noexcept { return shards_[ShardNumberOf(node)]; }
  Shards& shards() noexcept { return shards_; }

  // Null: no record.
  static Inode* Find(Shard& shard, NodeId node) REQUIRES(shard.mutex) {
    const auto found = shard.inodes.find(node);
    return found == shard.inodes.end() ? nullptr : &found->second;
  }
  // Null: not open.
  static OpenFile* FindOpen(Shard& shard, NodeId node) REQUIRES(shard.mutex) {
    Inode* const inode = Find(shard, node);
    return inode != nullptr && inode->open ? &*inode->open : nullptr;
  }

  // For the first open and the last release of an inode. It must have a record.
  static void BeginOpen(Shard& shard, NodeId node, Inode& inode) REQUIRES(shard.mutex);
  static void EndOpen(Shard& shard, NodeId node, Inode& inode) REQUIRES(shard.mutex);
  // Gives Inode::maybe_mapped a new number.
  void NoteMaybeMapped(Shard& shard, NodeId node, Inode& inode) REQUIRES(shard.mutex);
  // Makes the inode an orphan with that kind of link. The caller sets `last` and the rest.
  Orphan& SetLink(Shard& shard, NodeId node, Inode& inode, Orphan::Link link) REQUIRES(shard.mutex);
  // The inode is no longer an orphan. Returns its orphan record.
  std::unique_ptr<Orphan> EndOrphan(Shard& shard, NodeId node, Inode& inode) REQUIRES(shard.mutex);
  // Called last: removes the record if it is empty.
  static void RemoveIfUnused(Shard& shard, NodeId node) REQUIRES(shard.mutex);

  // Inode::maybe_mapped. Costs nothing while there are none.
  uint64_t MaybeMapped(NodeId node);
  std::vector<NodeId> MaybeMappedOf(Slot slot);
  // Sets maybe_mapped to 0 for a file found not to be mapped, unless the number has changed: then the finding
  // is stale.
  void NotMapped(NodeId node, uint64_t number);
  // For a periodic check on one thread: the inodes that got a number since the last call, and up to `count`
  // others, in turn.
  std::vector<NodeId> NextMaybeMapped(size_t count);
  // How often NotMapped has cleared a number: what was read of a file before that may not be final.
  uint64_t mappings_ended() const noexcept { return mappings_ended_; }

  // The kernel no longer knows any node of that slot, which is about to be reused: closes the descriptors
  // kept for it. (An unlink in progress during a rollback keeps a file of the new tree, which the kernel may
  // never have looked up and so never forgets.)
  void ForgetSlot(Slot slot);

  // The orphans without a link that a checkpoint must include, and the number of orphans with one.
  std::vector<NodeId> WithoutLink(Slot slot);
  uint64_t CountLinked(Slot slot);

  // Hints that cost no lock. Each count is raised before what it counts becomes visible: if a thread sees
  // such a trace underneath and then reads 0 here, the file is not one of this mount.
  bool has_maybe_mapped() const noexcept { return maybe_mapped_ != 0; }
  // Orphans that a checkpoint must include, linked or not, and link changes in progress.
  bool has_orphans() const noexcept { return orphans_ != 0; }
  // All orphans.
  bool has_nameless() const noexcept { return nameless_ != 0 || orphans_ != 0; }
  void LinkChangeBegins() noexcept { ++orphans_; }
  void LinkChangeEnds() noexcept { --orphans_; }

 private:
  static size_t ShardNumberOf(NodeId node) noexcept {
    return (node ^ node >> kInodeBits) % kInodeShards;
  }
  std::atomic<uint64_t>& CounterOf(Orphan::Link link) noexcept {
    return link == Orphan::Link::kNotNeeded ? nameless_ : orphans_;
  }
  // Adds an orphan's link to the counts of its slot, or removes it.
  static void CountLink(Shard& shard, NodeId node, Orphan::Link link) REQUIRES(shard.mutex);
  static void UncountLink(Shard& shard, NodeId node, Orphan::Link link) REQUIRES(shard.mutex);
  void TakeTurns(Shard& shard, bool all, size_t count, std::vector<NodeId>& next)
      REQUIRES(shard.mutex);
  static void RemoveSlotIfEmpty(Shard& shard, Slot slot) REQUIRES(shard.mutex);

  Shards shards_;
  std::atomic<uint64_t> writers_closed_{0};  // so far
  std::atomic<uint64_t> maybe_mapped_{0};
  std::atomic<uint64_t> mappings_ended_{0};
  NodeId turn_ = 0;  // NextMaybeMapped: the last one returned in turn
  std::atomic<uint64_t> orphans_{0};
  std::atomic<uint64_t> nameless_{0};  // kNotNeeded
};

}  // namespace ckptfs
