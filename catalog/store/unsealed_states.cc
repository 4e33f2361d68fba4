#include "catalog/store/unsealed_states.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>

namespace ckptfs {

void UnsealedStates::Add(const VolumeId& volume, bool in_writing) {
  const MutexLock lock(mutex_);
  states_[volume].in_writing = in_writing;
  CountInWriting();
}

void UnsealedStates::CountInWriting() {
  in_writing_ = static_cast<size_t>(std::count_if(
      states_.begin(), states_.end(), [](const auto& known) { return known.second.in_writing; }));
}

void UnsealedStates::WritersGone(const VolumeId& volume) {
  const MutexLock lock(mutex_);
  if (const auto known = states_.find(volume); known != states_.end()) {
    known->second.in_writing = false;
  }
  CountInWriting();
}

bool UnsealedStates::IsInWriting(const VolumeId& volume) const {
  if (in_writing_ == 0) return false;
  const MutexLock lock(mutex_);
  const auto known = states_.find(volume);
  return known != states_.end() && known->second.in_writing;
}

bool UnsealedStates::Contains(const VolumeId& volume) const {
  const MutexLock lock(mutex_);
  return states_.contains(volume);
}

void UnsealedStates::AwaitSealed(MutexLock& lock, const VolumeId& volume) {
  sealed_.wait(lock.native(), [&]() REQUIRES(mutex_) {
    const auto known = states_.find(volume);
    return known == states_.end() || !known->second.being_sealed;
  });
}

void UnsealedStates::SealIfQuiet(Backend& backend, const VolumeId& volume) {
  MutexLock lock(mutex_);
  AwaitSealed(lock, volume);
  const auto known = states_.find(volume);
  if (known == states_.end() || known->second.in_writing) return;
  known->second.being_sealed = true;  // keeps it from being removed meanwhile
  lock.Unlock();
  std::exception_ptr failure;
  try {
    backend.Seal(volume);
  } catch (...) {
    failure = std::current_exception();
  }
  lock.Lock();
  if (failure) {
    known->second.being_sealed = false;
  } else {
    states_.erase(known);
  }
  sealed_.notify_all();
  lock.Unlock();
  if (failure) std::rethrow_exception(failure);
}

void UnsealedStates::Drop(const VolumeId& volume) {
  MutexLock lock(mutex_);
  AwaitSealed(lock, volume);
  states_.erase(volume);
  CountInWriting();
}

void UnsealedStates::SealAll(Backend& backend) noexcept {
  MutexLock lock(mutex_);
  sealed_.wait(lock.native(),
               [this]() REQUIRES(mutex_) {  // the sealing thread checks it again
                 return std::none_of(states_.begin(), states_.end(),
                                     [](const auto& known) { return known.second.being_sealed; });
               });
  for (const auto& [volume, state] : states_) {
    try {
      backend.Seal(volume);
    } catch (const std::exception& error) {
      spdlog::error("make volume {} read-only: {}; the next start repeats it", volume.str(),
                    error.what());
    }
  }
  states_.clear();
  CountInWriting();
}

}  // namespace ckptfs
