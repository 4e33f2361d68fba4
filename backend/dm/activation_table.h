// Which volumes are in use.
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

#include "backend/dm/activation.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// One Activation a volume at a time, shared by all who ask for it. One that nobody uses any more is kept
// for a while, as what was looked at is looked at again; but not many of them. Any thread may call any
// function.
//
// Each Activation refers to its table, which so outlives them all.
class ActivationTable : public std::enable_shared_from_this<ActivationTable> {
 public:
  using Maker = std::function<std::unique_ptr<Activation>(const VolumeId&)>;

  // `make` is called by whoever asks for a volume that is not in use. To be held in a shared_ptr.
  explicit ActivationTable(Maker make);
  ~ActivationTable() = default;
  // Lets go of what is kept here. To be called before the owner lets go of the table, and after the last
  // call of any other function.
  void Close();
  ActivationTable(const ActivationTable&) = delete;
  ActivationTable& operator=(const ActivationTable&) = delete;

  // Throws what `make` throws.
  std::shared_ptr<Activation> Get(const VolumeId& id);
  // The one that there is; null if the volume is not in use. One that is just being made or ended is
  // waited for.
  std::shared_ptr<Activation> Find(const VolumeId& id);
  // All that are in use, but for those that are just being made or ended.
  std::vector<std::shared_ptr<Activation>> All();
  // Keeps that volume no longer than its users do, and returns when it is in use no more, if they have
  // let it go.
  void Drop(const VolumeId& id);

 private:
  struct Entry {
    std::weak_ptr<Activation> active;
    bool busy = true;  // being made or ended
  };
  struct Kept {
    std::shared_ptr<Activation> activation;
    VolumeId id;
    std::chrono::steady_clock::time_point until;
  };

  void AwaitQuiet(std::unique_lock<std::mutex>& lock, const VolumeId& id);
  std::shared_ptr<Activation> Share(const VolumeId& id, std::unique_ptr<Activation> made);
  void End(const VolumeId& id, std::unique_ptr<Activation> activation) noexcept;
  void Keep(const VolumeId& id, std::shared_ptr<Activation> activation);
  void Run(const std::stop_token& stop);

  const Maker make_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::unordered_map<VolumeId, Entry> entries_;
  std::list<Kept> kept_;  // the one that was asked for last is first
  std::jthread thread_;   // last: starts when all else is there, ends first
};

}  // namespace ckptfs
