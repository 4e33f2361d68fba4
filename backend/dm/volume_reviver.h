// Brings volumes back whose filesystem has stopped.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "backend/base/uuid.h"
#include "backend/dm/activation.h"

namespace ckptfs {

// A filesystem that stopped for want of space is used again as soon as there is some. One that stopped for
// anything else is left as it is: it may be damaged, and has refused to write for that.
//
// Look is called by one thread, OnRevival by any.
class VolumeReviver {
 public:
  // Backend::OnRevival.
  void OnRevival(std::function<void(const VolumeId&)> revived);

  // Looks after all volumes that are in use. `is_full`: there is no room for what they may write.
  void Look(const std::vector<std::shared_ptr<Activation>>& in_use, bool is_full);

 private:
  struct Record {
    bool is_in_use = false;
    bool has_stopped = false;
    bool for_want_of_space = false;
    int attempts = 0;
    std::chrono::steady_clock::time_point next_attempt;
  };

  bool WasFull() const;  // of late
  void Look(Activation& activation, bool is_full);
  void Revive(Activation& activation, Record& record);

  std::optional<std::chrono::steady_clock::time_point> last_full_;
  std::unordered_map<VolumeId, Record> records_;  // of those that have stopped, of late
  std::mutex mutex_;  // guards what follows, and is held while it is called
  std::function<void(const VolumeId&)> revived_;
};

}  // namespace ckptfs
