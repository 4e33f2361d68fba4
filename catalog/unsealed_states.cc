#include "catalog/unsealed_states.h"

#include <spdlog/spdlog.h>

#include <exception>

namespace ckptfs {

void UnsealedStates::Add(const VolumeId& volume, bool in_writing) {
  const std::lock_guard lock(mutex_);
  in_writing_[volume] = in_writing;
}

void UnsealedStates::WritersGone(const VolumeId& volume) {
  const std::lock_guard lock(mutex_);
  if (const auto known = in_writing_.find(volume); known != in_writing_.end()) {
    known->second = false;
  }
}

bool UnsealedStates::IsInWriting(const VolumeId& volume) const {
  const std::lock_guard lock(mutex_);
  const auto known = in_writing_.find(volume);
  return known != in_writing_.end() && known->second;
}

bool UnsealedStates::Contains(const VolumeId& volume) const {
  const std::lock_guard lock(mutex_);
  return in_writing_.contains(volume);
}

void UnsealedStates::SealIfQuiet(Backend& backend, const VolumeId& volume) {
  const std::lock_guard lock(mutex_);
  const auto known = in_writing_.find(volume);
  if (known == in_writing_.end() || known->second) return;
  backend.Seal(volume);
  in_writing_.erase(known);
}

void UnsealedStates::Drop(const VolumeId& volume) {
  const std::lock_guard lock(mutex_);
  in_writing_.erase(volume);
}

void UnsealedStates::SealAll(Backend& backend) noexcept {
  const std::lock_guard lock(mutex_);
  for (const auto& [volume, in_writing] : in_writing_) {
    try {
      backend.Seal(volume);
    } catch (const std::exception& error) {
      spdlog::error("make volume {} read-only: {}; the next start repeats it", volume.str(),
                    error.what());
    }
  }
  in_writing_.clear();
}

}  // namespace ckptfs
