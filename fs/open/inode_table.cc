#include "fs/open/inode_table.h"

#include <algorithm>
#include <utility>

namespace ckptfs {

void InodeTable::RemoveSlotIfEmpty(Shard& shard, Slot slot) {
  const auto of_slot = shard.of_slot.find(slot);
  if (of_slot != shard.of_slot.end() && of_slot->second.empty()) shard.of_slot.erase(of_slot);
}

void InodeTable::RemoveIfUnused(Shard& shard, NodeId node) {
  const auto found = shard.inodes.find(node);
  if (found != shard.inodes.end() && found->second.IsUnused()) shard.inodes.erase(found);
}

void InodeTable::BeginOpen(Shard& shard, NodeId node, Inode& inode) {
  shard.of_slot[SlotOf(node)].open.insert(node);
  inode.open.emplace();
}

void InodeTable::EndOpen(Shard& shard, NodeId node, Inode& inode) {
  inode.open.reset();
  shard.of_slot[SlotOf(node)].open.erase(node);
  RemoveSlotIfEmpty(shard, SlotOf(node));
}

void InodeTable::NoteMaybeMapped(Shard& shard, NodeId node, Inode& inode) {
  if (inode.maybe_mapped == 0) {
    shard.of_slot[SlotOf(node)].maybe_mapped.insert(node);
    ++maybe_mapped_;
  }
  shard.newly_closed.push_back(node);
  inode.maybe_mapped = ++writers_closed_;
}

uint64_t InodeTable::MaybeMapped(NodeId node) {
  if (!has_maybe_mapped()) return 0;
  Shard& shard = ShardOf(node);
  const MutexLock lock(shard.mutex);
  const Inode* const inode = Find(shard, node);
  return inode == nullptr ? 0 : inode->maybe_mapped;
}

std::vector<NodeId> InodeTable::MaybeMappedOf(Slot slot) {
  std::vector<NodeId> found;
  if (!has_maybe_mapped()) return found;
  for (Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    const auto of_slot = shard.of_slot.find(slot);
    if (of_slot == shard.of_slot.end()) continue;
    const std::set<NodeId>& nodes = of_slot->second.maybe_mapped;
    found.insert(found.end(), nodes.begin(), nodes.end());
  }
  return found;
}

void InodeTable::NotMapped(NodeId node, uint64_t number) {
  Shard& shard = ShardOf(node);
  const MutexLock lock(shard.mutex);
  Inode* const inode = Find(shard, node);
  if (inode == nullptr || inode->maybe_mapped != number || number == 0) return;
  inode->maybe_mapped = 0;
  ++mappings_ended_;
  --maybe_mapped_;
  shard.of_slot[SlotOf(node)].maybe_mapped.erase(node);
  RemoveSlotIfEmpty(shard, SlotOf(node));
  RemoveIfUnused(shard, node);
}

// Appends nodes of that shard, those after `turn_` or all, while `next` has fewer than `count`.
void InodeTable::TakeTurns(Shard& shard, bool all, size_t count, std::vector<NodeId>& next) {
  const NodeId after = all ? 0 : turn_;
  for (auto slot = shard.of_slot.lower_bound(SlotOf(after)); slot != shard.of_slot.end(); ++slot) {
    const std::set<NodeId>& nodes = slot->second.maybe_mapped;
    for (auto node = nodes.upper_bound(after); node != nodes.end(); ++node) {
      if (next.size() >= count) return;
      turn_ = *node;
      next.push_back(turn_);
    }
  }
}

std::vector<NodeId> InodeTable::NextMaybeMapped(size_t count) {
  std::vector<NodeId> next;
  for (Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    next.insert(next.end(), shard.newly_closed.begin(), shard.newly_closed.end());
    shard.newly_closed.clear();
  }
  count = next.size() + std::min(count, static_cast<size_t>(maybe_mapped_));
  const size_t first = ShardNumberOf(turn_);
  for (size_t i = 0; i <= kInodeShards; ++i) {
    Shard& shard = shards_[(first + i) % kInodeShards];
    const MutexLock lock(shard.mutex);
    TakeTurns(shard, /*all=*/i != 0, count, next);
  }
  return next;
}

void InodeTable::CountLink(Shard& shard, NodeId node, Orphan::Link link) {
  if (link == Orphan::Link::kNotNeeded) return;
  OfSlot& slot = shard.of_slot[SlotOf(node)];
  if (link == Orphan::Link::kThere) {
    ++slot.linked;
  } else {
    slot.without_link.insert(node);
  }
}

void InodeTable::UncountLink(Shard& shard, NodeId node, Orphan::Link link) {
  if (link == Orphan::Link::kNotNeeded) return;
  OfSlot& slot = shard.of_slot[SlotOf(node)];
  if (link == Orphan::Link::kThere) {
    --slot.linked;
  } else {
    slot.without_link.erase(node);
  }
  RemoveSlotIfEmpty(shard, SlotOf(node));
}

Orphan& InodeTable::SetLink(Shard& shard, NodeId node, Inode& inode, Orphan::Link link) {
  if (!inode.orphan) {
    inode.orphan = std::make_unique<Orphan>();
    ++CounterOf(inode.orphan->link);
  }
  const Orphan::Link before = std::exchange(inode.orphan->link, link);
  ++CounterOf(link);
  --CounterOf(before);
  UncountLink(shard, node, before);
  CountLink(shard, node, link);
  return *inode.orphan;
}

std::unique_ptr<Orphan> InodeTable::EndOrphan(Shard& shard, NodeId node, Inode& inode) {
  std::unique_ptr<Orphan> ended = std::move(inode.orphan);
  UncountLink(shard, node, ended->link);
  --CounterOf(ended->link);
  return ended;
}

std::vector<NodeId> InodeTable::WithoutLink(Slot slot) {
  std::vector<NodeId> nodes;
  if (!has_orphans()) return nodes;
  for (Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    const auto found = shard.of_slot.find(slot);
    if (found == shard.of_slot.end()) continue;
    const std::set<NodeId>& others = found->second.without_link;
    nodes.insert(nodes.end(), others.begin(), others.end());
  }
  return nodes;
}

uint64_t InodeTable::CountLinked(Slot slot) {
  uint64_t linked = 0;
  if (!has_orphans()) return linked;
  for (Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    const auto found = shard.of_slot.find(slot);
    if (found != shard.of_slot.end()) linked += found->second.linked;
  }
  return linked;
}

void InodeTable::ForgetSlot(Slot slot) {
  if (!has_nameless()) return;
  std::vector<UniqueFd> closed_last;  // closed after unlocking: closing may delete files
  for (Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    for (auto i = shard.inodes.begin(); i != shard.inodes.end();) {
      const NodeId node = i->first;
      Inode& inode = i->second;
      ++i;  // before the record is removed
      if (SlotOf(node) != slot || !inode.orphan) continue;
      closed_last.push_back(std::move(inode.orphan->fd));
      inode.orphan->claim = {};
      if (inode.orphan->link != Orphan::Link::kNotNeeded) continue;
      EndOrphan(shard, node, inode);
      RemoveIfUnused(shard, node);
    }
  }
}

}  // namespace ckptfs
