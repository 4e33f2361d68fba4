#include "fs/operations/live_holds.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "fs/files/file_tree.h"

namespace ckptfs {

GateHold::GateHold(MountContext& mount, std::shared_ptr<LiveWorkspace> workspace,
                   bool becomes_snapshot)
    : mount_(mount),
      workspace_(std::move(workspace)),
      becomes_snapshot_(becomes_snapshot),
      closed_(workspace_->gate()) {}

uint64_t GateHold::GatherUnlinked() {
  const auto live = workspace_->live();
  if (live->files) stopped_ = StopWrites(mount_.inodes.WithoutLink(live->files->slot));
  const uint64_t count = GatherUnlinked(stopped_.get());
  if (left_out() != 0) {
    spdlog::warn("{} open files of workspace {} that have no name are not kept: {}", left_out(),
                 mount_.NameOf(workspace_->id()), stopped_ ? stopped_->gap() : "");
  }
  return count;
}

uint64_t GateHold::GatherUnlinked(const WriteStop::Stopped* stopped) {
  const auto live = workspace_->live();
  if (!live->files) return 0;
  const auto is_still = [&](NodeId node) {
    // Without passthrough every write passes the gate. With it, one that waits there keeps others out.
    return !mount_.open_files.passthrough() || !mount_.open_files.HasWriters(node) ||
           workspace_->gate().Waits(node) || (stopped != nullptr && stopped->Holds(node));
  };
  gathered_ = std::make_unique<GatheredOrphans>(mount_.inodes, live->files->slot, *live->volume,
                                                becomes_snapshot_, is_still);
  return gathered_->count();
}

std::unique_ptr<WriteStop::Stopped> GateHold::StopWrites(const std::vector<NodeId>& nodes) {
  if (!mount_.open_files.passthrough()) return nullptr;
  std::vector<NodeHandle> open;
  for (const NodeId node : nodes) {
    if (!mount_.open_files.HasWriters(node)) continue;
    try {
      open.push_back(FileTree(mount_).HandleOf(node));
    } catch (const Error&) {  // closed and removed just now
    }
  }
  return mount_.write_stop.Stop(workspace_->id(), std::move(open),
                                [this](NodeId node) { return workspace_->gate().Waits(node); });
}

MomentHold::MomentHold(MountContext& mount, const std::shared_ptr<LiveWorkspace>& workspace)
    : gate_(mount, workspace, /*becomes_snapshot=*/false) {
  const auto live = workspace->live();
  if (!live->files) return;
  FileTree files(mount);
  writers_ = mount.mapped.Writers(live->files->slot);
  StopWrites(mount);
  files.WriteOut(writers_);
}

// Those without a name first: should there be too many, they would be left out, and not just go on.
void MomentHold::StopWrites(MountContext& mount) {
  std::vector<NodeId> nodes;
  for (const WriterHandle& writer : writers_) nodes.push_back(writer.node);
  std::stable_partition(nodes.begin(), nodes.end(),
                        [&](NodeId node) { return mount.orphans.Contains(node); });
  stopped_ = gate_.StopWrites(nodes);
}

std::string MomentHold::WhyNotOneMoment() const {
  std::string why = stopped_ ? stopped_->gap() : "";
  if (const uint64_t count = gate_.left_out(); count != 0) {
    why += fmt::format("{}{} of the open files that have no name are not in it",
                       why.empty() ? "" : "; ", count);
  }
  return why;
}

}  // namespace ckptfs
