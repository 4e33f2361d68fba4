// The table of active volumes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/dm/activation.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// At most one Activation per volume, shared by all users. An unused one is kept for a while, as it is often
// needed again; but only a few of them. Thread-safe.
//
// Each Activation refers to its table, which therefore outlives them all.
class ActivationTable : public std::enable_shared_from_this<ActivationTable> {
 public:
  using Maker = std::function<std::unique_ptr<Activation>(const VolumeId&)>;

  // `make` is called by the thread that requests an inactive volume. The table must be held in a shared_ptr.
  explicit ActivationTable(Maker make);
  ~ActivationTable() = default;
  // Releases the kept ones. Called before the owner releases the table, and after the last call of any other
  // function.
  void Close();
  ActivationTable(const ActivationTable&) = delete;
  ActivationTable& operator=(const ActivationTable&) = delete;

  // Throws what `make` throws.
  std::shared_ptr<Activation> Get(const VolumeId& id);
  // The existing Activation; null if the volume is not in use. Waits for one that is just being made or
  // closed.
  std::shared_ptr<Activation> Find(const VolumeId& id);
  // All in use, except those just being made or closed.
  std::vector<std::shared_ptr<Activation>> All();
  // Stops keeping that volume, and returns when it is inactive, if its users have released it.
  void Drop(const VolumeId& id);

 private:
  struct Entry {
    std::weak_ptr<Activation> active;
    bool busy = true;  // being made or closed
  };
  struct Kept {
    std::shared_ptr<Activation> activation;
    VolumeId id;
    std::chrono::steady_clock::time_point until;
  };

  void AwaitQuiet(MutexLock& lock, const VolumeId& id) REQUIRES(mutex_);
  std::shared_ptr<Activation> Share(const VolumeId& id, std::unique_ptr<Activation> made);
  void End(const VolumeId& id, std::unique_ptr<Activation> activation) noexcept;
  void Keep(const VolumeId& id, std::shared_ptr<Activation> activation);
  void Run(const std::stop_token& stop);

  const Maker make_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::unordered_map<VolumeId, Entry> entries_ GUARDED_BY(mutex_);
  std::list<Kept> kept_ GUARDED_BY(mutex_);  // most recently requested first
  std::jthread thread_;  // last: started after and joined before all other members
};

}  // namespace ckptfs
