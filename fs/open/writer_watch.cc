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
  ++count_;
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

bool WriterWatch::IsEnding(const VolumeId& volume) const {
  return std::find(ending_.begin(), ending_.end(), volume) != ending_.end();
}

std::optional<DetachedState> WriterWatch::Find(const VolumeId& volume) const {
  if (count_ == 0) return std::nullopt;
  MutexLock lock(mutex_);
  changed_.wait(lock.native(), [&]() REQUIRES(mutex_) { return !IsEnding(volume); });
  for (const DetachedState& state : states_) {
    if (state.volume == volume) return state;
  }
  return std::nullopt;
}

std::optional<DetachedState> WriterWatch::Take(MutexLock& lock, const VolumeId& volume) {
  changed_.wait(lock.native(), [&]() REQUIRES(mutex_) { return !IsEnding(volume); });
  const auto position =
      std::find_if(states_.begin(), states_.end(),
                   [&](const DetachedState& state) { return state.volume == volume; });
  if (position == states_.end()) return std::nullopt;
  DetachedState taken = std::move(*position);
  states_.erase(position);
  return taken;
}

std::optional<Slot> WriterWatch::Drop(const VolumeId& volume) {
  MutexLock lock(mutex_);
  const std::optional<DetachedState> dropped = Take(lock, volume);
  if (!dropped) return std::nullopt;
  --count_;
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
    if (!has_writers_(state.slot)) End(state.volume);
  }
  MutexLock lock(mutex_);  // what others are just ending
  changed_.wait(lock.native(), [this]() REQUIRES(mutex_) { return ending_.empty(); });
}

void WriterWatch::End(const VolumeId& volume) {
  MutexLock lock(mutex_);
  const std::optional<DetachedState> state = Take(lock, volume);
  if (!state) return;
  // Whoever asks in between must not hear that nobody writes, while the store still says that somebody does.
  ending_.push_back(volume);
  lock.Unlock();
  end_(*state);
  lock.Lock();
  std::erase(ending_, volume);
  --count_;
  changed_.notify_all();
}

}  // namespace ckptfs
