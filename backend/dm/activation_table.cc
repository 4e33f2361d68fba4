#include "backend/dm/activation_table.h"

#include <iterator>
#include <utility>

namespace ckptfs {
namespace {

// Unused volumes kept active. Each costs two loop devices, a mount and the kernel's caches of both.
constexpr size_t kKeptMax = 16;
constexpr std::chrono::seconds kKeptFor{5};

}  // namespace

ActivationTable::ActivationTable(Maker make)
    : make_(std::move(make)), thread_([this](const std::stop_token& stop) { Run(stop); }) {}

void ActivationTable::Close() {
  thread_.request_stop();
  thread_.join();
  std::list<Kept> kept;
  const MutexLock lock(mutex_);
  kept.swap(kept_);
}

// Waits until that volume is either in use or inactive.
void ActivationTable::AwaitQuiet(MutexLock& lock, const VolumeId& id) {
  changed_.wait(lock.native(), [&]() REQUIRES(mutex_) {
    const auto entry = entries_.find(id);
    // If its last user is gone, it is about to be closed.
    return entry == entries_.end() || (!entry->second.busy && !entry->second.active.expired());
  });
}

std::shared_ptr<Activation> ActivationTable::Find(const VolumeId& id) {
  MutexLock lock(mutex_);
  while (true) {
    AwaitQuiet(lock, id);
    const auto entry = entries_.find(id);
    if (entry == entries_.end()) return nullptr;
    // Its last user may have released it since.
    if (auto activation = entry->second.active.lock()) return activation;
  }
}

std::shared_ptr<Activation> ActivationTable::Get(const VolumeId& id) {
  std::shared_ptr<Activation> activation;
  {
    MutexLock lock(mutex_);
    while (true) {
      AwaitQuiet(lock, id);
      const auto entry = entries_.find(id);
      if (entry == entries_.end()) {
        entries_[id] = {};
        break;
      }
      activation = entry->second.active.lock();
      if (activation) break;
    }
  }
  if (!activation) {
    try {
      activation = Share(id, make_(id));
    } catch (...) {
      const MutexLock lock(mutex_);
      entries_.erase(id);
      changed_.notify_all();
      throw;
    }
  }
  Keep(id, activation);
  return activation;
}

std::shared_ptr<Activation> ActivationTable::Share(const VolumeId& id,
                                                   std::unique_ptr<Activation> made) {
  std::shared_ptr<Activation> activation(made.release(),
                                         [self = shared_from_this(), id](Activation* pointer) {
                                           self->End(id, std::unique_ptr<Activation>(pointer));
                                         });
  const MutexLock lock(mutex_);
  entries_[id] = {.active = activation, .busy = false};
  changed_.notify_all();
  return activation;
}

// Called by the last user, so without the mutex. Takes as long as unmounting.
void ActivationTable::End(const VolumeId& id, std::unique_ptr<Activation> activation) noexcept {
  {
    const MutexLock lock(mutex_);
    entries_[id].busy = true;
  }
  activation.reset();
  const MutexLock lock(mutex_);
  entries_.erase(id);
  changed_.notify_all();
}

void ActivationTable::Keep(const VolumeId& id, std::shared_ptr<Activation> activation) {
  std::list<Kept> ended;  // released after the lock
  const MutexLock lock(mutex_);
  kept_.remove_if([&](const Kept& kept) { return kept.id == id; });
  kept_.push_front({std::move(activation), id, std::chrono::steady_clock::now() + kKeptFor});
  if (kept_.size() > kKeptMax) ended.splice(ended.begin(), kept_, std::prev(kept_.end()));
  changed_.notify_all();
}

std::vector<std::shared_ptr<Activation>> ActivationTable::All() {
  std::vector<std::shared_ptr<Activation>> all;
  const MutexLock lock(mutex_);
  for (const auto& [id, entry] : entries_) {
    if (entry.busy) continue;
    if (auto activation = entry.active.lock()) all.push_back(std::move(activation));
  }
  return all;
}

void ActivationTable::Drop(const VolumeId& id) {
  {
    std::list<Kept> ended;
    const MutexLock lock(mutex_);
    for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
      if (kept->id != id) continue;
      ended.splice(ended.begin(), kept_, kept);
      break;
    }
  }
  MutexLock lock(mutex_);
  AwaitQuiet(lock, id);
}

void ActivationTable::Run(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (!stop.stop_requested()) {
    if (kept_.empty()) {
      changed_.wait(lock.native(), stop, [this]() REQUIRES(mutex_) { return !kept_.empty(); });
      continue;
    }
    // The last one has been kept for the longest time.
    const auto until = kept_.back().until;
    if (std::chrono::steady_clock::now() < until) {
      changed_.wait_until(lock.native(), stop, until,
                          [&]() REQUIRES(mutex_) { return kept_.empty(); });
      continue;
    }
    std::list<Kept> ended;
    ended.splice(ended.begin(), kept_, std::prev(kept_.end()));
    lock.Unlock();
    ended.clear();
    lock.Lock();
  }
}

}  // namespace ckptfs
