#include "fs/nodes/views.h"

#include <cassert>
#include <cerrno>
#include <chrono>
#include <random>

#include "backend/base/error.h"
#include "catalog/db/view_numbers.h"

namespace ckptfs {
namespace {

constexpr std::chrono::seconds kVolumeIdle{5};

// The property that catalog/db/view_numbers.h guarantees.
static_assert((kSnapshotViews.last + 1) << kInodeBits == uint64_t{1} << 53);
static_assert(kMaxView << kInodeBits >> kInodeBits == kMaxView);

// A bijection that maps neighbours far apart (the finalizer of MurmurHash3). After mixing with small numbers
// (KnownDirectories, FileTree) a collision is then only chance.
uint32_t Scatter(uint32_t number) {
  number = (number ^ number >> 16) * 0x85ebca6bU;
  number = (number ^ number >> 13) * 0xc2b2ae35U;
  return number ^ number >> 16;
}

}  // namespace

// Handles of other mounts of the store are still around, and their slots mean something else.
SlotTable::SlotTable() : last_generation_(std::random_device()()) {}

void SlotTable::SeatLocked(const std::shared_ptr<View>& view) {
  seats_[view->slot].view = view;
  view->generation = seats_[view->slot].generation;
  numbers_.insert(view->number);
  ++in_use_;
}

std::shared_ptr<View> SlotTable::AddLocked(std::shared_ptr<View> view) {
  if (!free_.empty()) {
    view->slot = free_.back();
    free_.pop_back();
  } else {
    if (seats_.size() > kMaxSlot) throw Error(ENFILE, "open one more snapshot");
    view->slot = static_cast<Slot>(seats_.size());
    seats_.emplace_back();
  }
  seats_[view->slot].generation = Scatter(++last_generation_);
  SeatLocked(view);
  return view;
}

void SlotTable::FreeLocked(Slot slot) {
  seats_[slot] = {};
  free_.push_back(slot);
}

void SlotTable::RemoveLocked(const View& view) {
  for (const uint64_t number : {view.number.load(), view.former_number_}) {
    const auto counted = numbers_.find(number);
    if (counted != numbers_.end()) numbers_.erase(counted);
  }
  const Slot slot = view.slot;
  seats_[slot].view.reset();
  --in_use_;
  if (view.kind == View::Kind::kSnapshot && seats_[slot].snapshot == 0) FreeLocked(slot);
}

// Called after RemoveLocked: the view can no longer be found; the slot of a live tree's view is not free yet.
void SlotTable::End(const View& view) {
  if (view.kind == View::Kind::kSnapshot) return;
  std::function<void(Slot)> end;
  {
    const ReaderLock lock(mutex_);
    end = end_;
  }
  if (end) end(view.slot);
  const WriterLock lock(mutex_);
  FreeLocked(view.slot);
}

void SlotTable::OnEnd(std::function<void(Slot)> end) {
  const WriterLock lock(mutex_);
  end_ = std::move(end);
}

Slot SlotTable::AddLiveDirectories(std::shared_ptr<LiveWorkspace> workspace, uint64_t number) {
  auto view = std::make_shared<View>();
  view->kind = View::Kind::kLiveDirectories;
  view->workspace = std::move(workspace);
  view->number = number;
  view->pinned_ = true;
  const WriterLock lock(mutex_);
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
  const WriterLock lock(mutex_);
  return AddLocked(std::move(view));
}

void SlotTable::Unpin(Slot slot) {
  std::shared_ptr<View> removed;  // its volume is closed after unlocking
  {
    const WriterLock lock(mutex_);
    if (!seats_[slot].view || !seats_[slot].view->pinned_) return;
    seats_[slot].view->pinned_ = false;
    if (seats_[slot].view->lookups_ != 0) return;
    removed = seats_[slot].view;
    RemoveLocked(*removed);
  }
  End(*removed);
}

std::shared_ptr<View> SlotTable::AcquireSnapshot(const SnapshotRecord& snapshot, SnapDir place) {
  const WriterLock lock(mutex_);
  const SnapshotKey key = KeyOf(snapshot.id, place);
  const auto known = snapshots_.find(key);
  if (known != snapshots_.end() && seats_[known->second].view) {
    const std::shared_ptr<View>& view = seats_[known->second].view;
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
  if (known != snapshots_.end()) {
    view->slot = known->second;
    SeatLocked(view);
    return view;
  }
  const auto added = snapshots_.emplace(key, 0).first;
  try {
    AddLocked(view);
  } catch (...) {
    snapshots_.erase(added);
    throw;
  }
  added->second = view->slot;
  seats_[view->slot].snapshot = key;
  return view;
}

void SlotTable::RenewSnapshot(int64_t snapshot_id, SnapDir place) {
  const WriterLock lock(mutex_);
  const auto known = snapshots_.find(KeyOf(snapshot_id, place));
  if (known == snapshots_.end()) return;
  const Slot slot = known->second;
  snapshots_.erase(known);
  seats_[slot].snapshot = 0;
  if (!seats_[slot].view) FreeLocked(slot);
}

std::optional<SlotTable::SnapshotLocation> SlotTable::SnapshotOf(Slot slot) const {
  const ReaderLock lock(mutex_);
  if (slot >= seats_.size() || seats_[slot].snapshot == 0) return std::nullopt;
  const SnapshotKey key = seats_[slot].snapshot;
  return SnapshotLocation{.snapshot_id = static_cast<int64_t>(key >> 1),
                          .place = (key & 1) != 0 ? SnapDir::kInner : SnapDir::kRoot};
}

NodeId SlotTable::RootOf(int64_t snapshot_id, SnapDir place) const {
  const ReaderLock lock(mutex_);
  const auto known = snapshots_.find(KeyOf(snapshot_id, place));
  if (known == snapshots_.end() || !seats_[known->second].view) return 0;
  return MakeNumber(known->second, kRootInode);
}

std::shared_ptr<View> SlotTable::Find(Slot slot) const {
  const ReaderLock lock(mutex_);
  return slot < seats_.size() ? seats_[slot].view : nullptr;
}

uint32_t SlotTable::Count(Slot slot) {
  const ReaderLock lock(mutex_);
  if (slot >= seats_.size() || !seats_[slot].view) throw Error(ESTALE, "find a file");
  ++seats_[slot].view->lookups_;
  return seats_[slot].generation;
}

bool SlotTable::TryCount(const View& view) {
  const ReaderLock lock(mutex_);
  if (seats_[view.slot].view.get() != &view) return false;
  ++seats_[view.slot].view->lookups_;
  return true;
}

void SlotTable::Count(const View& view) {
  if (!TryCount(view)) throw Error(ESTALE, "find a file");
}

void SlotTable::Forget(Slot slot, uint64_t lookups) {
  {
    // The common case changes no slot: most forgets leave other nodes behind.
    const ReaderLock lock(mutex_);
    if (slot >= seats_.size() || !seats_[slot].view) return;
    View& view = *seats_[slot].view;
    assert(view.lookups_ >= lookups);
    if ((view.lookups_ -= lookups) != 0 || view.pinned_) return;
  }
  std::shared_ptr<View> removed;  // its volume is closed after unlocking
  {
    const WriterLock lock(mutex_);
    const std::shared_ptr<View>& view = seats_[slot].view;
    if (!view || view->lookups_ != 0 || view->pinned_) return;
    removed = view;
    RemoveLocked(*removed);
  }
  End(*removed);
}

void SlotTable::Renumber(View& view, uint64_t number) {
  const WriterLock lock(mutex_);
  if (view.number == number) return;
  const uint64_t former = view.number.exchange(number);
  if (seats_[view.slot].view.get() != &view) return;
  view.former_number_ = former;
  numbers_.insert(number);
}

bool SlotTable::HasNumber(uint64_t number) const {
  const ReaderLock lock(mutex_);
  return numbers_.contains(number);
}

size_t SlotTable::size() const {
  const ReaderLock lock(mutex_);
  return in_use_;
}

std::shared_ptr<Volume> VolumeCache::Open(const VolumeId& id) {
  return kept_.Get(id, [&] { return backend_.Open(id); });
}

std::shared_ptr<Volume> VolumeCache::OfFiles(const View& view) {
  if (view.twin() == nullptr) return view.volume;
  try {
    return Open(*view.twin());
  } catch (const Error&) {  // it has been deleted since
    return view.volume;
  }
}

bool VolumeCache::DropIdle() { return kept_.RemoveIdle(kVolumeIdle); }

}  // namespace ckptfs
