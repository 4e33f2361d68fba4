#include "fs/operations/scheduled_checkpoints.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <set>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/own_names.h"

namespace ckptfs {
namespace {

using Clock = std::chrono::steady_clock;

// For a comparison that nobody has asked for. If it takes too much, the states count as different.
class ComparisonLimits final : public FixedLimits {
 public:
  explicit ComparisonLimits(const std::atomic<bool>& stopping)
      : FixedLimits(kBytesMax), stopping_(stopping) {}
  void RequireWanted() override {
    constexpr char kAttempted[] = "look for changes";
    if (stopping_) throw LimitError(ECANCELED, kAttempted, "the filesystem is being unmounted");
    if (Clock::now() > deadline_) throw LimitError(E2BIG, kAttempted);
  }

 private:
  static constexpr size_t kBytesMax = size_t{8} << 20;
  static constexpr std::chrono::seconds kTimeMax{30};

  const std::atomic<bool>& stopping_;
  const Clock::time_point deadline_ = Clock::now() + kTimeMax;
};

uid_t OwnerOf(const Volume& volume) {
  struct stat status {};
  CheckSyscall(fstat(volume.root_fd(), &status), "look at a workspace's owner");
  return status.st_uid;
}

bool HoldsFiles(const Volume& volume) {
  bool holds = false;
  UniqueFd root(CheckSyscall(openat(volume.root_fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                             "look into a workspace"));
  ForEachEntry(std::move(root), "look into a workspace", [&](const dirent& entry) {
    holds = entry.d_name != kPrivateDirectoryName;
    return !holds;
  });
  return holds;
}

}  // namespace

void ScheduledCheckpoints::Look() noexcept {
  if (!pace_.MayLook()) return;
  try {
    if (!verbs_.store().Status().read_only) LookAtAll();
  } catch (const std::exception& error) {
    spdlog::warn("scheduled checkpoints: {}", error.what());
    pace_.Failed();
  }
}

void ScheduledCheckpoints::LookAtAll() {
  const int64_t begin_ns = LookPace::UpNs();
  std::set<int64_t> present;
  for (const WorkspaceRecord& workspace : verbs_.store().rows().ListWorkspaces()) {
    present.insert(workspace.id);
    if (IsDueFor(workspace)) Begin(workspace);
  }
  {
    const MutexLock lock(mutex_);
    std::erase_if(known_, [&](const auto& entry) {
      return !entry.second.is_running && !present.contains(entry.first);
    });
  }
  pace_.Looked(LookPace::UpNs() - begin_ns);
}

bool ScheduledCheckpoints::IsDueFor(const WorkspaceRecord& workspace) {
  const Settings settings = verbs_.store().SettingsFor(workspace.id);
  if (!settings.SpanNs(kSchedule)) return false;
  AutomaticRunTimes times;
  {
    const MutexLock lock(mutex_);
    const Known& known = known_[workspace.id];
    if (known.is_running) return false;
    times.looked_up_ns = known.looked_up_ns;
  }
  const auto newest = verbs_.store().rows().NewestCheckpoint(workspace.id);
  if (newest) times.newest_checkpoint_ns = newest->created_ns;
  return DueNow(settings, times, ReadClocks()).checkpoint;
}

void ScheduledCheckpoints::Begin(const WorkspaceRecord& workspace) {
  uid_t owner = 0;
  try {
    owner = OwnerOf(*verbs_.store().backend().Open(workspace.volume));
  } catch (const Error& error) {
    return End(workspace, error.errno_value() == ENOENT ? "its data is missing" : error.what());
  }
  {
    const MutexLock lock(mutex_);
    known_[workspace.id].is_running = true;
  }
  pool_.Post(owner, [this, workspace] { Run(workspace); });
}

void ScheduledCheckpoints::Run(const WorkspaceRecord& workspace) noexcept {
  std::string failure;
  try {
    if (!stopping_) CheckpointIfChanged(workspace.id);
  } catch (const Error& error) {
    const bool is_gone = !verbs_.store().rows().FindWorkspace(workspace.id);
    if (!is_gone && error.errno_value() != ECANCELED) failure = error.what();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  End(workspace, failure);
}

void ScheduledCheckpoints::End(const WorkspaceRecord& workspace, const std::string& failure) {
  const MutexLock lock(mutex_);
  Known& known = known_[workspace.id];
  known.is_running = false;
  known.looked_up_ns = LookPace::UpNs();
  if (!failure.empty() && failure != known.failure) {
    spdlog::warn("scheduled checkpoint of {}: {}", workspace.name, failure);
  }
  known.failure = failure;
}

void ScheduledCheckpoints::CheckpointIfChanged(int64_t workspace_id) {
  const auto workspace = verbs_.store().rows().FindWorkspace(workspace_id);
  if (!workspace || !HasChanged(*workspace)) return;
  const auto begin = Clock::now();
  CheckpointRequest request;
  request.kind = SnapshotKind::kScheduled;
  const SnapshotRecord made = verbs_.Checkpoint(workspace_id, request);
  spdlog::info("scheduled checkpoint {}/{} ({:.1f} ms)", workspace->name, made.name,
               std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
}

bool ScheduledCheckpoints::HasChanged(const WorkspaceRecord& workspace) {
  Backend& backend = verbs_.store().backend();
  if (!workspace.parent_id) return HoldsFiles(*backend.Open(workspace.volume));
  Unchanged now{workspace.volume, workspace.parent_id, backend.ChangeMarker(workspace.volume)};
  if (IsKnownUnchanged(workspace, now)) {
    // What was changed last counts when it is written out.
    backend.right_of_way().GiveWay(RightOfWay::kHeldMax);
    backend.SettleChanges(workspace.volume);
    now.marker = backend.ChangeMarker(workspace.volume);
    if (IsKnownUnchanged(workspace, now)) return false;
  }
  ComparisonLimits limits(stopping_);
  if (verbs_.ChangedSinceParent(workspace.id, limits)) return true;
  // If something was changed since the marker was read, the next look sees another.
  const MutexLock lock(mutex_);
  known_[workspace.id].unchanged = now;
  return false;
}

bool ScheduledCheckpoints::IsKnownUnchanged(const WorkspaceRecord& workspace,
                                            const Unchanged& state) {
  if (state.marker != 0 && state.marker == workspace.parent_marker) return true;
  const MutexLock lock(mutex_);
  return known_[workspace.id].unchanged == state;
}

}  // namespace ckptfs
