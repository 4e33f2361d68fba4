// Revives volumes whose filesystem has stopped.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/uuid.h"
#include "backend/dm/activation.h"

namespace ckptfs {

// A filesystem that stopped for lack of space is revived as soon as there is some. After any other reason it
// is left alone: it may be damaged, and has stopped to protect its data.
//
// Look is called by one thread, OnRevival by any.
class VolumeReviver {
 public:
  // Backend::OnRevival.
  void OnRevival(std::function<void(const VolumeId&)> revived);

  // Checks all active volumes. `is_full`: there is no space for their writes.
  void Look(const std::vector<std::shared_ptr<Activation>>& in_use, bool is_full);

 private:
  struct Record {
    bool is_in_use = false;
    bool has_stopped = false;
    bool for_want_of_space = false;
    int attempts = 0;
    std::chrono::steady_clock::time_point next_attempt;
  };

  bool WasFull() const;  // recently
  void Look(Activation& activation, bool is_full);
  void Revive(Activation& activation, Record& record);

  std::optional<std::chrono::steady_clock::time_point> last_full_;
  std::unordered_map<VolumeId, Record> records_;  // of recently stopped ones
  Mutex mutex_;                                   // held during the call
  std::function<void(const VolumeId&)> revived_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
