#include "backend/dm/volume_reviver.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace ckptfs {
namespace {

// After the first attempt; doubled after each further one, whether it succeeded or not.
constexpr std::chrono::seconds kFirstPause{1};
constexpr int kDoublingsMax = 9;
// Data written while there was no space may fail this much later: the kernel writes back pages that are 30
// seconds old.
constexpr std::chrono::minutes kFullMatters{2};

}  // namespace

void VolumeReviver::OnRevival(std::function<void(const VolumeId&)> revived) {
  const MutexLock lock(mutex_);
  revived_ = std::move(revived);
}

void VolumeReviver::Look(const std::vector<std::shared_ptr<Activation>>& in_use, bool is_full) {
  if (is_full) last_full_ = std::chrono::steady_clock::now();
  for (auto& [id, record] : records_) record.is_in_use = false;
  for (const std::shared_ptr<Activation>& activation : in_use) {
    try {
      Look(*activation, is_full);
    } catch (const std::exception& error) {
      spdlog::error("look after volume {}: {}", activation->id().str(), error.what());
    }
  }
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(records_, [&](const auto& entry) {
    const Record& record = entry.second;
    return !record.is_in_use || (!record.has_stopped && now >= record.next_attempt);
  });
}

bool VolumeReviver::WasFull() const {
  return last_full_ && std::chrono::steady_clock::now() - *last_full_ < kFullMatters;
}

void VolumeReviver::Look(Activation& activation, bool is_full) {
  const Activation::Condition condition = activation.LookAfter();
  if (!condition.has_stopped && !records_.contains(activation.id())) return;
  Record& record = records_[activation.id()];
  record.is_in_use = true;
  if (condition.has_stopped && !record.has_stopped) {
    record.for_want_of_space = condition.device_is_lost || WasFull();
    spdlog::error("volume {}: its filesystem has stopped{}", activation.id().str(),
                  record.for_want_of_space
                      ? ", for want of space; what would change it gets 'no space left', and it is "
                        "used again when there is some"
                      : "; see the kernel's log (dmesg)");
  }
  record.has_stopped = condition.has_stopped;
  if (!record.has_stopped || !record.for_want_of_space || is_full) return;
  if (std::chrono::steady_clock::now() >= record.next_attempt) Revive(activation, record);
}

void VolumeReviver::Revive(Activation& activation, Record& record) {
  record.next_attempt = std::chrono::steady_clock::now() +
                        kFirstPause * (1 << std::min(record.attempts++, kDoublingsMax));
  activation.Revive();
  record.has_stopped = false;
  spdlog::warn(
      "volume {}: used again; what was written last before it stopped may be lost, and files that "
      "were "
      "open then have to be opened anew",
      activation.id().str());
  const MutexLock lock(mutex_);
  if (revived_) revived_(activation.id());
}

}  // namespace ckptfs
