#include "fs/nodes/live_workspace.h"

#include <spdlog/spdlog.h>

#include "backend/base/error.h"
#include "backend/base/time.h"
#include "fs/processes/process_search.h"

namespace ckptfs {

LiveWorkspace::LiveWorkspace(int64_t id, uint64_t number, SlotTable& slots)
    : id_(id),
      number_(number),
      slots_(slots),
      directories_(slots),
      live_(std::make_shared<const Live>()) {}

std::shared_ptr<const Live> LiveWorkspace::live() const {
  const MutexLock lock(mutex_);
  return live_;
}

void LiveWorkspace::Switch(std::shared_ptr<Volume> volume, uint64_t old_number, bool keep_slot) {
  auto next = std::make_shared<Live>();
  if (volume) {
    next->files = slots_.AddLiveFiles(shared_from_this(), volume, number_);
    next->volume = std::move(volume);
  }
  std::shared_ptr<const Live> old;
  {
    const MutexLock lock(mutex_);
    old = std::exchange(live_, std::move(next));
    if (root_slot_ == 0) {
      root_slot_ = directories_slot_ = slots_.AddLiveDirectories(shared_from_this(), number_);
    }
  }
  if (!old->files) return;
  if (old_number != 0) slots_.Renumber(*old->files, old_number);
  if (!keep_slot) slots_.Unpin(old->files->slot);
}

NodeId LiveWorkspace::root_node() const {
  const MutexLock lock(mutex_);
  return MakeNumber(root_slot_, kRootInode);
}

NodeHandle LiveWorkspace::AcquireRoot() const {
  // Counted with the lock held: the slot is pinned while it is the root's, so it cannot have been reused.
  const MutexLock lock(mutex_);
  const uint32_t generation = slots_.Count(root_slot_);
  return {.node = MakeNumber(root_slot_, kRootInode), .generation = generation};
}

void LiveWorkspace::RenewRoot() {
  const Slot renewed = slots_.AddLiveDirectories(shared_from_this(), number_);
  const MutexLock lock(mutex_);
  const Slot old = std::exchange(root_slot_, renewed);
  if (old != directories_slot_) slots_.Unpin(old);
}

NodeId LiveWorkspace::live_node(SnapDir place) const {
  const auto kind = place == SnapDir::kRoot ? VirtualKind::kRootLive : VirtualKind::kInnerLive;
  const uint64_t turn = live_turn_ & ((uint64_t{1} << kLiveTurnBits) - 1);
  return MakeVirtualNode(kind, static_cast<uint64_t>(id_) << kLiveTurnBits | turn);
}

bool LiveWorkspace::IsForeign(const SnapshotRecord& snapshot) const {
  return snapshot.workspace_id != id_ || snapshot.id <= line_began_after_;
}

void LiveWorkspace::BeginLine(int64_t newest_snapshot) {
  line_began_after_ = newest_snapshot;
  directories_.Disown();
}

LiveWorkspace::WalkStop::WalkStop(LiveWorkspace& workspace, std::atomic<int>& count)
    : workspace_(workspace), count_(count) {
  ++workspace_.walk_stops_;
  ++count_;
}

LiveWorkspace::WalkStop::~WalkStop() {
  --count_;
  const MutexLock lock(workspace_.mutex_);
  --workspace_.walk_stops_;
  workspace_.walks_go_on_.notify_all();
}

bool LiveWorkspace::AwaitWalks(pid_t thread, Holds holds) {
  constexpr std::chrono::milliseconds kPoll{5};
  constexpr std::chrono::milliseconds kLockWaitMax{20};
  constexpr std::chrono::milliseconds kLockWaitAgainMax{500};
  // Names are dropped at a million per second.
  constexpr std::chrono::seconds kMax{20};
  constexpr std::chrono::milliseconds kInterruptPoll{200};
  const auto began = std::chrono::steady_clock::now();
  auto looked = began;
  MutexLock lock(mutex_);
  // The first thing that the kernel asks for on its second walk, before it takes a lock.
  const bool again = sent_back_.erase(thread) != 0;
  if (again && holds == Holds::kPerhaps) holds = Holds::kNothing;
  const auto lock_wait_max = again ? kLockWaitAgainMax : kLockWaitMax;
  while (!walks_go_on_.wait_for(lock.native(), kPoll, [this] { return walk_stops_ == 0; })) {
    const auto now = std::chrono::steady_clock::now();
    if (now - began > kMax) return false;
    if (thread != 0 && now - looked > kInterruptPoll) {
      lock.Unlock();
      if (InterruptedThreads({thread}, Signals::kKill).contains(thread)) return false;
      lock.Lock();
      looked = now;
    }
    const int64_t lock_wait_ns = lock_wait_began_ns_;
    if (holds == Holds::kNothing || lock_wait_ns == 0) continue;
    if (now.time_since_epoch() - std::chrono::nanoseconds(lock_wait_ns) < lock_wait_max) continue;
    sent_back_.insert(thread);
    return false;
  }
  sent_back_.clear();
  return true;
}

LiveWorkspace::LockWait::LockWait(LiveWorkspace& workspace) : workspace_(workspace) {
  workspace_.lock_wait_began_ns_ = std::chrono::steady_clock::now().time_since_epoch().count();
}

void LiveWorkspace::NoteMovedName(NodeId directory, const char* name) {
  constexpr size_t kMovedNamesMax = 10'000;
  if (KeepsNames()) return;
  const MutexLock lock(mutex_);
  if (moved_names_.size() < kMovedNamesMax) moved_names_.emplace_back(directory, name);
}

std::vector<std::pair<NodeId, std::string>> LiveWorkspace::TakeMovedNames() {
  const MutexLock lock(mutex_);
  return std::exchange(moved_names_, {});
}

NodeHandle LiveWorkspace::AcquireDirectory(FileId file) {
  return directories_.Acquire(
      file,
      [this] {
        const MutexLock lock(mutex_);
        return directories_slot_;
      },
      [this] {
        const Slot added = slots_.AddLiveDirectories(shared_from_this(), number_);
        const MutexLock lock(mutex_);
        const Slot old = std::exchange(directories_slot_, added);
        if (old != root_slot_) slots_.Unpin(old);
        return added;
      });
}

void LiveWorkspace::Retire() {
  retired_ = true;
  Switch(nullptr, 0);
  const MutexLock lock(mutex_);
  slots_.Unpin(root_slot_);
  if (directories_slot_ != root_slot_) slots_.Unpin(directories_slot_);
  root_slot_ = directories_slot_ = 0;  // no view has slot 0: late requests get ESTALE
}

LiveWorkspaces::~LiveWorkspaces() {
  for (const auto& [id, workspace] : by_id_) workspace->Retire();
}

std::shared_ptr<LiveWorkspace> LiveWorkspaces::Known(int64_t workspace_id) const {
  const MutexLock lock(mutex_);
  const auto known = by_id_.find(workspace_id);
  return known == by_id_.end() ? nullptr : known->second;
}

std::shared_ptr<LiveWorkspace> LiveWorkspaces::Get(int64_t workspace_id) {
  if (auto known = Known(workspace_id)) return known;
  const MutexLock opening(opening_);
  if (auto known = Known(workspace_id)) return known;
  const auto record = store_.rows().FindWorkspace(workspace_id);
  if (!record) throw Error(ENOENT, "find a workspace", "it has been removed");
  auto workspace = std::make_shared<LiveWorkspace>(record->id, record->view, slots_);
  std::shared_ptr<Volume> volume;
  try {
    volume = store_.backend().Open(record->volume);
  } catch (const Error& error) {
    spdlog::error("workspace {} cannot be served: {}", record->name, error.what());
  }
  workspace->Switch(std::move(volume), 0);
  const MutexLock lock(mutex_);
  by_id_[workspace_id] = workspace;
  return workspace;
}

std::shared_ptr<LiveWorkspace> LiveWorkspaces::WithVolume(const VolumeId& id) {
  const MutexLock lock(mutex_);
  for (const auto& [workspace_id, workspace] : by_id_) {
    const auto live = workspace->live();
    if (live->volume && live->volume->id() == id) return workspace;
  }
  return nullptr;
}

void LiveWorkspaces::Remove(int64_t workspace_id) {
  const MutexLock opening(opening_);
  std::shared_ptr<LiveWorkspace> removed;
  {
    const MutexLock lock(mutex_);
    const auto known = by_id_.find(workspace_id);
    if (known == by_id_.end()) return;
    removed = std::move(known->second);
    by_id_.erase(known);
  }
  removed->Retire();
}

}  // namespace ckptfs
