// Deletes old states that rollbacks kept, in the background.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <thread>

#include "catalog/store/store.h"

namespace ckptfs {

// Every rollback keeps the state before it. So that thousands of them do not fill the store and its
// lists, a thread of this class deletes those that StoreOptions::undo_keep and undo_keep_time no
// longer keep: when it starts, after each rollback, and when those that were too young have come of
// age. It deletes one after the other and rests in between, for at least as long as the deletion
// took: an operation that somebody waits for does not get into a queue behind it. What cannot be
// deleted is logged, and tried again later.
//
// Owned by whoever serves the live trees. Any thread may call Look.
class RollbackRetention {
 public:
  // `deleted` is called after each deletion, with no lock held. Both must outlive this.
  RollbackRetention(Store& store, std::function<void(const SnapshotRecord&)> deleted);
  // Waits for the deletion that is under way; what is still to do the next start finds again.
  ~RollbackRetention() = default;
  RollbackRetention(const RollbackRetention&) = delete;
  RollbackRetention& operator=(const RollbackRetention&) = delete;

  // There may be something to delete in that workspace.
  void Look(int64_t workspace_id);

 private:
  using Clock = std::chrono::steady_clock;

  void Run(const std::stop_token& stop);
  // Deletes what there is to delete; sees to it that all are looked at when there may be more.
  void LookAt(const std::set<int64_t>& workspaces, const std::stop_token& stop);
  std::set<int64_t> AllWorkspaces() const;
  // Returns how long to wait for more; empty: for ever.
  std::optional<std::chrono::nanoseconds> Limit(int64_t workspace_id, const std::stop_token& stop);
  void Rest(std::chrono::nanoseconds time, const std::stop_token& stop);

  Store& store_;
  const std::function<void(const SnapshotRecord&)> deleted_;
  Clock::time_point look_at_all_ = Clock::now();  // the thread's own
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::set<int64_t> asked_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace ckptfs
