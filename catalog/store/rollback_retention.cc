#include "catalog/store/rollback_retention.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace ckptfs {
namespace {

using std::chrono::nanoseconds;

constexpr std::chrono::milliseconds kRestMin{2};
// While work is left for later, checks at least this often: the clock may be set, or an open file closed.
// Also after a failure.
constexpr std::chrono::minutes kLookAgain{10};
constexpr std::chrono::hours kNothingToDo{24};

}  // namespace

RollbackRetention::RollbackRetention(Store& store,
                                     std::function<void(const SnapshotRecord&)> deleted)
    : store_(store),
      deleted_(std::move(deleted)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {
  pthread_setname_np(thread_.native_handle(), "ckptfs-undo");
}

void RollbackRetention::Look(int64_t workspace_id) {
  const MutexLock lock(mutex_);
  asked_.insert(workspace_id);
  changed_.notify_all();
}

void RollbackRetention::Run(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (!stop.stop_requested()) {
    changed_.wait_until(lock.native(), stop, look_at_all_,
                        [this]() REQUIRES(mutex_) { return !asked_.empty(); });
    const std::set<int64_t> asked = std::exchange(asked_, {});
    lock.Unlock();
    if (Clock::now() < look_at_all_) {
      LookAt(asked, stop);
    } else {
      look_at_all_ = Clock::now() + kNothingToDo;
      LookAt(AllWorkspaces(), stop);
    }
    lock.Lock();
  }
}

std::set<int64_t> RollbackRetention::AllWorkspaces() const {
  std::set<int64_t> all;
  try {
    for (const WorkspaceRecord& workspace : store_.rows().ListWorkspaces())
      all.insert(workspace.id);
  } catch (const std::exception& error) {
    spdlog::warn("look for old states that rollbacks kept: {}", error.what());
  }
  return all;
}

void RollbackRetention::LookAt(const std::set<int64_t>& workspaces, const std::stop_token& stop) {
  for (const int64_t workspace : workspaces) {
    std::optional<nanoseconds> wait;
    try {
      wait = Limit(workspace, stop);
    } catch (const std::exception& error) {
      spdlog::warn("delete an old state that a rollback kept: {}; tried again later", error.what());
      wait = kLookAgain;
    }
    if (!wait) continue;
    const auto soon =
        std::chrono::duration_cast<Clock::duration>(std::min<nanoseconds>(*wait, kLookAgain));
    look_at_all_ = std::min(look_at_all_, Clock::now() + soon);
  }
}

std::optional<nanoseconds> RollbackRetention::Limit(int64_t workspace_id,
                                                    const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const Clock::time_point start = Clock::now();
    const UndoLimitStep step = store_.LimitUndo(workspace_id);
    if (!step.deleted) return step.wait;
    deleted_(*step.deleted);
    const Clock::duration took = Clock::now() - start;
    const auto workspace = store_.rows().FindWorkspace(workspace_id);
    spdlog::info("delete {}/{}, which the limit on such states no longer keeps ({:.1f} ms)",
                 workspace ? workspace->name : "?", step.deleted->name,
                 std::chrono::duration<double, std::milli>(took).count());
    Rest(std::max<nanoseconds>(took, kRestMin), stop);
  }
  return std::nullopt;
}

void RollbackRetention::Rest(nanoseconds time, const std::stop_token& stop) {
  MutexLock lock(mutex_);
  changed_.wait_for(lock.native(), stop, time, [] { return false; });
}

}  // namespace ckptfs
