#include "fs/operations/live_holds.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "fs/files/file_tree.h"

namespace ckptfs {

FreezeHold::FreezeHold(MountContext& mount, std::shared_ptr<LiveWorkspace> workspace,
                       bool becomes_snapshot)
    : mount_(mount),
      workspace_(std::move(workspace)),
      becomes_snapshot_(becomes_snapshot),
      closed_(workspace_->freeze_lock()) {}

uint64_t FreezeHold::GatherUnlinked() {
  const auto live = workspace_->live();
  if (live->files) stopped_ = StopWrites(mount_.unlinked.ToBeLocked(live->files->slot));
  const uint64_t count = GatherUnlinked(stopped_.get());
  if (left_out() != 0) {
    spdlog::warn("{} open files of workspace {} that have no name are not kept: {}", left_out(),
                 mount_.NameOf(workspace_->id()), stopped_ ? stopped_->gap() : "");
  }
  return count;
}

uint64_t FreezeHold::GatherUnlinked(const WriteBarrier::Stopped* stopped) {
  const auto live = workspace_->live();
  if (!live->files) return 0;
  const auto is_still = [&](NodeId node) {
    // Without passthrough every write passes the freeze lock. With it, one that waits there keeps others out.
    return !mount_.open_files.passthrough() || !mount_.open_files.HasWriters(node) ||
           workspace_->freeze_lock().Waits(node) || (stopped != nullptr && stopped->Holds(node));
  };
  gathered_ = mount_.unlinked.Gather(live->files->slot, *live->volume, becomes_snapshot_, is_still);
  return gathered_->count();
}

std::unique_ptr<WriteBarrier::Stopped> FreezeHold::StopWrites(const std::vector<NodeId>& nodes) {
  if (!mount_.open_files.passthrough()) return nullptr;
  std::vector<NodeHandle> open;
  for (const NodeId node : nodes) {
    if (!mount_.open_files.HasWriters(node)) continue;
    try {
      open.push_back(FileTree(mount_).HandleOf(node));
    } catch (const Error&) {  // closed and removed just now
    }
  }
  return mount_.write_barrier.Stop(workspace_->id(), std::move(open), [this](NodeId node) {
    return workspace_->freeze_lock().Waits(node);
  });
}

ConsistentCut::ConsistentCut(MountContext& mount, const std::shared_ptr<LiveWorkspace>& workspace)
    : freeze_lock_(mount, workspace, /*becomes_snapshot=*/false) {
  const auto live = workspace->live();
  if (!live->files) return;
  FileTree files(mount);
  writers_ = files.Writers(live->files->slot);
  StopWrites(mount);
  files.WriteOut(writers_);
}

// Those without a name first: should there be too many, they would be left out, and not just go on.
void ConsistentCut::StopWrites(MountContext& mount) {
  std::vector<NodeId> nodes;
  for (const WriterHandle& writer : writers_) nodes.push_back(writer.node);
  std::stable_partition(nodes.begin(), nodes.end(),
                        [&](NodeId node) { return mount.unlinked.Contains(node); });
  stopped_ = freeze_lock_.StopWrites(nodes);
}

std::string ConsistentCut::WhyNotOneMoment() const {
  std::string why = stopped_ ? stopped_->gap() : "";
  if (const uint64_t count = freeze_lock_.left_out(); count != 0) {
    why += fmt::format("{}{} of the open files that have no name are not in it",
                       why.empty() ? "" : "; ", count);
  }
  return why;
}

}  // namespace ckptfs
