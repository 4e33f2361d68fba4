#include "fs/open/writer_watch.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace ckptfs {
namespace {

constexpr std::chrono::seconds kMappingsPoll{1};

}  // namespace

WriterWatch::WriterWatch(std::function<bool(Slot)> has_writers,
                         std::function<void(const DetachedState&)> end)
    : has_writers_(std::move(has_writers)),
      end_(std::move(end)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {
  pthread_setname_np(thread_.native_handle(), "ckptfs-writers");
}

WriterWatch::~WriterWatch() {
  thread_.request_stop();
  thread_.join();
}

void WriterWatch::Add(DetachedState state) {
  const MutexLock lock(mutex_);
  states_.push_back(std::move(state));
  count_ = states_.size();
  changed_.notify_all();
}

void WriterWatch::Released(Slot slot) {
  if (count_ == 0) return;
  const MutexLock lock(mutex_);
  const auto is_of_slot = [slot](const DetachedState& state) { return state.slot == slot; };
  if (std::none_of(states_.begin(), states_.end(), is_of_slot)) return;
  look_ = true;
  changed_.notify_all();
}

std::optional<DetachedState> WriterWatch::Find(const VolumeId& volume) const {
  if (count_ == 0) return std::nullopt;
  const MutexLock lock(mutex_);
  for (const DetachedState& state : states_) {
    if (state.volume == volume) return state;
  }
  return std::nullopt;
}

std::optional<DetachedState> WriterWatch::Take(const VolumeId& volume) {
  const MutexLock lock(mutex_);
  const auto position =
      std::find_if(states_.begin(), states_.end(),
                   [&](const DetachedState& state) { return state.volume == volume; });
  if (position == states_.end()) return std::nullopt;
  DetachedState taken = std::move(*position);
  states_.erase(position);
  count_ = states_.size();
  return taken;
}

std::optional<Slot> WriterWatch::Drop(const VolumeId& volume) {
  const std::optional<DetachedState> dropped = Take(volume);
  if (!dropped) return std::nullopt;
  return dropped->slot;
}

void WriterWatch::Run(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (!stop.stop_requested()) {
    changed_.wait(lock.native(), stop, [this]() REQUIRES(mutex_) { return !states_.empty(); });
    changed_.wait_for(lock.native(), stop, kMappingsPoll,
                      [this]() REQUIRES(mutex_) { return look_; });
    if (stop.stop_requested()) return;
    look_ = false;
    lock.Unlock();
    EndQuietOnes();
    lock.Lock();
  }
}

void WriterWatch::EndQuietOnes() {
  std::vector<DetachedState> states;
  {
    const MutexLock lock(mutex_);
    states = states_;
  }
  for (const DetachedState& state : states) {
    // If it was deleted meanwhile, its slot may be reused and the answer is meaningless.
    if (!has_writers_(state.slot) && Take(state.volume)) end_(state);
  }
}

}  // namespace ckptfs
