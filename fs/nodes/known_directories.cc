#include "fs/nodes/known_directories.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs {

NodeHandle KnownDirectories::HandleOf(uint64_t inode, const Known& known,
                                      uint32_t slot_generation) {
  constexpr uint32_t kFarApart = 0x9e3779b1;
  return {.node = MakeNumber(known.slot, inode),
          .generation = known.generation ^ slot_generation ^ known.line * kFarApart};
}

// Requires the mutex.
std::optional<NodeHandle> KnownDirectories::FindAgain(FileId file, Slot slot, bool& taken) {
  const auto [begin, end] = by_inode_.equal_range(file.inode);
  for (auto it = begin; it != end; ++it) {
    Known& known = it->second;
    if (known.generation == file.generation && known.line == line_ && !known.removed) {
      const uint32_t slot_generation = slots_.Count(known.slot);
      ++known.lookups;
      return HandleOf(file.inode, known, slot_generation);
    }
    taken |= known.slot == slot;
  }
  return std::nullopt;
}

// Requires the mutex; the slot has counted the lookup.
NodeHandle KnownDirectories::Add(FileId file, Slot slot, uint32_t slot_generation) {
  const Known known{.slot = slot, .generation = file.generation, .lookups = 1, .line = line_};
  by_inode_.emplace(file.inode, known);
  return HandleOf(file.inode, known, slot_generation);
}

NodeHandle KnownDirectories::Acquire(FileId file, const std::function<Slot()>& current_slot,
                                     const std::function<Slot()>& new_slot) {
  const MutexLock lock(mutex_);
  const Slot slot = current_slot();
  bool taken = false;
  if (const auto known = FindAgain(file, slot, taken)) return *known;
  const Slot chosen = taken ? new_slot() : slot;
  static_cast<void>(MakeNumber(chosen, file.inode));  // throws before anything is counted
  return Add(file, chosen, slots_.Count(chosen));
}

NodeHandle KnownDirectories::AcquireAgain(FileId file, const View& view) {
  const MutexLock lock(mutex_);
  bool taken = false;
  if (const auto known = FindAgain(file, view.slot, taken)) return *known;
  if (taken) throw Error(ESTALE, "find a directory", "its number is another's");
  slots_.Count(view);
  return Add(file, view.slot, view.generation);
}

// Requires the mutex.
KnownDirectories::Table::iterator KnownDirectories::Find(NodeId node) {
  const auto [begin, end] = by_inode_.equal_range(InodeOf(node));
  const auto it = std::find_if(
      begin, end, [&](const auto& entry) { return entry.second.slot == SlotOf(node); });
  return it == end ? by_inode_.end() : it;
}

uint32_t KnownDirectories::GenerationOf(NodeId node) {
  const MutexLock lock(mutex_);
  const auto it = Find(node);
  if (it == by_inode_.end()) return 0;
  if (it->second.line != line_) throw Error(ESTALE, "find a directory");
  return it->second.generation;
}

void KnownDirectories::Disown() {
  const MutexLock lock(mutex_);
  ++line_;
}

void KnownDirectories::Remove(NodeId node) {
  const MutexLock lock(mutex_);
  if (const auto it = Find(node); it != by_inode_.end()) it->second.removed = true;
}

void KnownDirectories::Forget(NodeId node, uint64_t lookups) {
  const MutexLock lock(mutex_);
  const auto it = Find(node);
  if (it == by_inode_.end()) return;
  Known& known = it->second;
  known.lookups -= std::min(known.lookups, lookups);
  if (known.lookups == 0) by_inode_.erase(it);
}

void KnownDirectories::NoteListing(NodeId node) {
  const MutexLock lock(mutex_);
  if (const auto it = Find(node); it != by_inode_.end()) it->second.listed = true;
}

std::vector<NodeId> KnownDirectories::TakeListed() {
  const MutexLock lock(mutex_);
  std::vector<NodeId> nodes;
  for (auto& [inode, known] : by_inode_) {
    if (std::exchange(known.listed, false)) nodes.push_back(MakeNumber(known.slot, inode));
  }
  return nodes;
}

bool KnownDirectories::Contains(uint64_t inode) const {
  const MutexLock lock(mutex_);
  return by_inode_.contains(inode);
}

std::vector<NodeId> KnownDirectories::All() const {
  const MutexLock lock(mutex_);
  std::vector<NodeId> nodes;
  nodes.reserve(by_inode_.size());
  for (const auto& [inode, known] : by_inode_) nodes.push_back(MakeNumber(known.slot, inode));
  return nodes;
}

size_t KnownDirectories::size() const {
  const MutexLock lock(mutex_);
  return by_inode_.size();
}

}  // namespace ckptfs
