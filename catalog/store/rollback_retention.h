// Deletes old states that rollbacks kept, in the background.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <thread>

#include "backend/base/mutex.h"
#include "catalog/store/store.h"

namespace ckptfs {

// Every rollback keeps the previous state. So that thousands of them do not fill the store and its lists, a
// thread of this class deletes those that exceed StoreOptions::undo_keep and undo_keep_time: at its start,
// after each rollback, and when states become old enough. It deletes one at a time and pauses in between, at
// least for as long as the deletion took, so that no queue builds up in front of other operations. Failed
// deletions are logged and retried later.
//
// Owned by the server of the live trees. Any thread may call Look.
class RollbackRetention {
 public:
  // `deleted` is called after each deletion, with no lock held. Both must outlive this object.
  RollbackRetention(Store& store, std::function<void(const SnapshotRecord&)> deleted);
  // Waits for the current deletion; the next start finds the rest.
  ~RollbackRetention() = default;
  RollbackRetention(const RollbackRetention&) = delete;
  RollbackRetention& operator=(const RollbackRetention&) = delete;

  // There may be something to delete in that workspace.
  void Look(int64_t workspace_id);

 private:
  using Clock = std::chrono::steady_clock;

  void Run(const std::stop_token& stop);
  // Deletes what exceeds the limits, and schedules the next check if more may follow.
  void LookAt(const std::set<int64_t>& workspaces, const std::stop_token& stop);
  std::set<int64_t> AllWorkspaces() const;
  // Returns how long to wait for more; empty: for ever.
  std::optional<std::chrono::nanoseconds> Limit(int64_t workspace_id, const std::stop_token& stop);
  void Rest(std::chrono::nanoseconds time, const std::stop_token& stop);

  Store& store_;
  const std::function<void(const SnapshotRecord&)> deleted_;
  Clock::time_point look_at_all_ = Clock::now();  // used by the thread only
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::set<int64_t> asked_ GUARDED_BY(mutex_);
  std::jthread thread_;  // last: it uses the members above
};

}  // namespace ckptfs
