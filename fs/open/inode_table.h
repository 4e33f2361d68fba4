// What is known of the inodes that programs use.
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

// Which name a file had last.
struct FormerName {
  FileId directory;
  std::string name;
};

// An inode without a name that the kernel knows yet.
struct Orphan {
  // Whether a checkpoint finds it in the volume's hidden directory (catalog/store/unlinked_directory.h).
  enum class Link : uint8_t {
    kNotNeeded,   // nobody has opened it since it lost its name: no checkpoint has to have it
    kImpossible,  // not without a copy
    kPossible,    // not yet
    kThere,       // by a link that nobody sees
  };

  Link link = Link::kNotNeeded;
  FormerName last;  // not of one that is there
  // Keeps the inode alive underneath until the kernel forgets it, if it was not open when it lost its name.
  UniqueFd fd;
  DescriptorClaim claim;  // for `fd`: of whoever has taken the name away
};

// The record of one inode.
struct Inode {
  bool HasWriters() const noexcept { return open && !open->writers.empty(); }
  bool HasHiddenLink() const noexcept { return orphan && orphan->link == Orphan::Link::kThere; }
  bool IsUnused() const noexcept {
    return !open && maybe_mapped == 0 && !orphan && !links_are_changing;
  }

  std::optional<OpenFile> open;
  // Who had it open for writing has closed it, and may have it mapped (MappedFiles): a number that is new at
  // each such close. 0: nobody.
  uint64_t maybe_mapped = 0;
  std::unique_ptr<Orphan> orphan;
  // Its names, and what `orphan` says of them, are not the same at the moment (LinkChange).
  bool links_are_changing = false;
};

// The records, in shards. Each has one lock, under which everything is that is known of its inodes: what
// one request finds of an inode is true all at once. What is done with them is the business of OpenFiles,
// MappedFiles and OrphanInodes.
//
// An inode has a record as long as there is something to say of it. Owned by the mount. Any thread may call
// anything. Under the lock of a shard nothing is waited for but what FileOpener says, and no other lock is
// taken but that of DescriptorShares.
class InodeTable {
 public:
  // Nodes of one slot: a checkpoint asks for those of its workspace, and must not look through all others.
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

  // Null if there is none.
  static Inode* Find(Shard& shard, NodeId node) REQUIRES(shard.mutex) {
    const auto found = shard.inodes.find(node);
    return found == shard.inodes.end() ? nullptr : &found->second;
  }
  // Null if it is not open.
  static OpenFile* FindOpen(Shard& shard, NodeId node) REQUIRES(shard.mutex) {
    Inode* const inode = Find(shard, node);
    return inode != nullptr && inode->open ? &*inode->open : nullptr;
  }

  // The first open of an inode, which has a record, and its last release.
  static void BeginOpen(Shard& shard, NodeId node, Inode& inode) REQUIRES(shard.mutex);
  static void EndOpen(Shard& shard, NodeId node, Inode& inode) REQUIRES(shard.mutex);
  // Gives Inode::maybe_mapped a new number.
  void NoteMaybeMapped(Shard& shard, NodeId node, Inode& inode) REQUIRES(shard.mutex);
  // It is an orphan from now on, with such a link. `last` and the rest are the caller's to set.
  Orphan& SetLink(Shard& shard, NodeId node, Inode& inode, Orphan::Link link) REQUIRES(shard.mutex);
  // It is none. Returns what it was.
  std::unique_ptr<Orphan> EndOrphan(Shard& shard, NodeId node, Inode& inode) REQUIRES(shard.mutex);
  // After the others: takes the record out if nothing is left in it.
  static void RemoveIfUnused(Shard& shard, NodeId node) REQUIRES(shard.mutex);

  // Inode::maybe_mapped. Costs nothing as long as there are none.
  uint64_t MaybeMapped(NodeId node);
  std::vector<NodeId> MaybeMappedOf(Slot slot);
  // Makes it 0, for a file that was found not to be mapped, unless it has another number by now: then that
  // was found of an earlier open.
  void NotMapped(NodeId node, uint64_t number);
  // For whoever looks again and again, on one thread: those that have got a number since the last call, and up
  // to `count` others, each in its turn.
  std::vector<NodeId> NextMaybeMapped(size_t count);
  // How often NotMapped has made one 0: what was read of a file before it was is perhaps not final.
  uint64_t mappings_ended() const noexcept { return mappings_ended_; }

  // The kernel knows no node of that slot any more, which is about to be another view's: lets go of the
  // descriptors that were kept for it. (An unlink that was on its way during a rollback keeps a file of the
  // tree after it, which the kernel may never have looked up, and so never forgets.)
  void ForgetSlot(Slot slot);

  // Orphans that a checkpoint has to have: those without a link, and how many have one.
  std::vector<NodeId> WithoutLink(Slot slot);
  uint64_t CountLinked(Slot slot);

  // Hints, which cost no lock. Each count goes up before what it counts is to be seen anywhere: who finds
  // something of it underneath, and then 0 here, has not looked at a file of this mount.
  bool has_maybe_mapped() const noexcept { return maybe_mapped_ != 0; }
  // Orphans with or without a link that a checkpoint has to have, and changes of links that are under way.
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
  // Puts an orphan's link in the books of its slot, or takes it out.
  static void CountLink(Shard& shard, NodeId node, Orphan::Link link) REQUIRES(shard.mutex);
  static void UncountLink(Shard& shard, NodeId node, Orphan::Link link) REQUIRES(shard.mutex);
  void TakeTurns(Shard& shard, bool all, size_t count, std::vector<NodeId>& next)
      REQUIRES(shard.mutex);
  static void RemoveSlotIfEmpty(Shard& shard, Slot slot) REQUIRES(shard.mutex);

  Shards shards_;
  std::atomic<uint64_t> writers_closed_{0};  // so far
  std::atomic<uint64_t> maybe_mapped_{0};
  std::atomic<uint64_t> mappings_ended_{0};
  NodeId turn_ = 0;  // of NextMaybeMapped: the last that had its
  std::atomic<uint64_t> orphans_{0};
  std::atomic<uint64_t> nameless_{0};  // kNotNeeded
};

}  // namespace ckptfs
