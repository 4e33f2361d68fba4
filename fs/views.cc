#include "fs/views.h"

#include <cassert>
#include <cerrno>
#include <iterator>

#include "backend/base/error.h"
#include "catalog/view_numbers.h"

namespace ckptfs {
namespace {

constexpr std::chrono::seconds kVolumeIdle{5};

// What catalog/view_numbers.h is about.
static_assert((kSnapshotViews.last + 1) << kInodeBits == uint64_t{1} << 53);
static_assert(kMaxView << kInodeBits >> kInodeBits == kMaxView);

}  // namespace

std::shared_ptr<View> SlotTable::AddLocked(std::shared_ptr<View> view) {
  if (!free_.empty()) {
    view->slot = free_.back();
    free_.pop_back();
    views_[view->slot] = view;
  } else {
    if (views_.size() > kMaxSlot) throw Error(ENFILE, "open one more snapshot");
    view->slot = static_cast<Slot>(views_.size());
    views_.push_back(view);
  }
  ++in_use_;
  numbers_.insert(view->number);
  return view;
}

void SlotTable::RemoveLocked(const View& view) {
  if (view.kind == View::Kind::kSnapshot) {
    const auto known = snapshots_.find({view.snapshot_id, view.place});
    if (known != snapshots_.end() && known->second == view.slot) snapshots_.erase(known);
  }
  for (const uint64_t number : {view.number.load(), view.former_number_}) {
    const auto counted = numbers_.find(number);
    if (counted != numbers_.end()) numbers_.erase(counted);
  }
  const Slot slot = view.slot;
  free_.push_back(slot);
  views_[slot].reset();
  --in_use_;
}

Slot SlotTable::AddLiveDirectories(std::shared_ptr<LiveWorkspace> workspace, uint64_t number) {
  auto view = std::make_shared<View>();
  view->kind = View::Kind::kLiveDirectories;
  view->workspace = std::move(workspace);
  view->number = number;
  view->pinned_ = true;
  const std::lock_guard lock(mutex_);
  return AddLocked(std::move(view))->slot;
}

std::shared_ptr<View> SlotTable::AddLiveFiles(std::shared_ptr<LiveWorkspace> workspace,
                                              std::shared_ptr<Volume> volume, uint64_t number) {
  auto view = std::make_shared<View>();
  view->kind = View::Kind::kLiveFiles;
  view->workspace = std::move(workspace);
  view->volume = std::move(volume);
  view->number = number;
  view->pinned_ = true;
  const std::lock_guard lock(mutex_);
  return AddLocked(std::move(view));
}

void SlotTable::Unpin(Slot slot) {
  std::shared_ptr<View> removed;  // its volume is closed after the lock is let go
  const std::lock_guard lock(mutex_);
  if (!views_[slot] || !views_[slot]->pinned_) return;
  views_[slot]->pinned_ = false;
  if (views_[slot]->lookups_ != 0) return;
  removed = views_[slot];
  RemoveLocked(*removed);
}

std::shared_ptr<View> SlotTable::AcquireSnapshot(const SnapshotRecord& snapshot, Place place) {
  const std::lock_guard lock(mutex_);
  const auto known = snapshots_.find({snapshot.id, place});
  if (known != snapshots_.end()) {
    const std::shared_ptr<View>& view = views_[known->second];
    ++view->lookups_;
    return view;
  }
  auto view = std::make_shared<View>();
  view->kind = View::Kind::kSnapshot;
  view->volume_id = snapshot.volume;
  view->snapshot_id = snapshot.id;
  view->place = place;
  view->root = snapshot.root;
  view->number = snapshot.view;
  view->lookups_ = 1;
  AddLocked(view);
  snapshots_[{snapshot.id, place}] = view->slot;
  return view;
}

void SlotTable::RenewSnapshot(int64_t snapshot_id, Place place) {
  const std::lock_guard lock(mutex_);
  snapshots_.erase({snapshot_id, place});
}

NodeId SlotTable::RootOf(int64_t snapshot_id, Place place) const {
  const std::shared_lock lock(mutex_);
  const auto known = snapshots_.find({snapshot_id, place});
  return known == snapshots_.end() ? 0 : MakeNumber(known->second, kRootInode);
}

std::shared_ptr<View> SlotTable::Find(Slot slot) const {
  const std::shared_lock lock(mutex_);
  return slot < views_.size() ? views_[slot] : nullptr;
}

void SlotTable::Count(Slot slot) {
  const std::shared_lock lock(mutex_);
  if (slot >= views_.size() || !views_[slot]) throw Error(ESTALE, "find a file");
  ++views_[slot]->lookups_;
}

void SlotTable::Count(const View& view) {
  const std::shared_lock lock(mutex_);
  if (views_[view.slot].get() != &view) throw Error(ESTALE, "find a file");
  ++views_[view.slot]->lookups_;
}

void SlotTable::Forget(Slot slot, uint64_t lookups) {
  {
    // The common case changes no slot: most forgets leave other nodes behind.
    const std::shared_lock lock(mutex_);
    if (slot >= views_.size() || !views_[slot]) return;
    View& view = *views_[slot];
    assert(view.lookups_ >= lookups);
    if ((view.lookups_ -= lookups) != 0 || view.pinned_) return;
  }
  std::shared_ptr<View> removed;  // its volume is closed after the lock is let go
  const std::lock_guard lock(mutex_);
  if (!views_[slot] || views_[slot]->lookups_ != 0 || views_[slot]->pinned_) return;
  removed = views_[slot];
  RemoveLocked(*removed);
}

void SlotTable::Renumber(View& view, uint64_t number) {
  const std::lock_guard lock(mutex_);
  if (view.number == number) return;
  const uint64_t former = view.number.exchange(number);
  if (views_[view.slot].get() != &view) return;
  view.former_number_ = former;
  numbers_.insert(number);
}

bool SlotTable::HasNumber(uint64_t number) const {
  const std::shared_lock lock(mutex_);
  return numbers_.contains(number);
}

size_t SlotTable::size() const {
  const std::shared_lock lock(mutex_);
  return in_use_;
}

std::shared_ptr<Volume> VolumeCache::Open(const VolumeId& id) {
  const auto now = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = by_id_.find(id); known != by_id_.end()) {
      order_.splice(order_.begin(), order_, known->second);
      order_.front().used_at = now;
      return order_.front().volume;
    }
  }
  std::shared_ptr<Volume> volume = backend_.Open(id);
  Order dropped;  // closed after the lock is let go
  const std::lock_guard lock(mutex_);
  if (const auto known = by_id_.find(id); known != by_id_.end()) return known->second->volume;
  order_.push_front({volume, now});
  by_id_[id] = order_.begin();
  if (order_.size() > capacity_) {
    by_id_.erase(order_.back().volume->id());
    dropped.splice(dropped.begin(), order_, std::prev(order_.end()));
  }
  return volume;
}

void VolumeCache::Drop(const VolumeId& id) {
  Order dropped;
  const std::lock_guard lock(mutex_);
  const auto known = by_id_.find(id);
  if (known == by_id_.end()) return;
  dropped.splice(dropped.begin(), order_, known->second);
  by_id_.erase(known);
}

bool VolumeCache::DropIdle() {
  Order dropped;
  const auto last_use = std::chrono::steady_clock::now() - kVolumeIdle;
  const std::lock_guard lock(mutex_);
  while (!order_.empty() && order_.back().used_at < last_use) {
    by_id_.erase(order_.back().volume->id());
    dropped.splice(dropped.begin(), order_, std::prev(order_.end()));
  }
  return !order_.empty();
}

}  // namespace ckptfs
