#include "fs/live_holds.h"

#include <utility>

#include "fs/file_tree.h"

namespace ckptfs {

GateHold::GateHold(MountContext& mount, std::shared_ptr<LiveWorkspace> workspace,
                   bool becomes_snapshot)
    : mount_(mount),
      workspace_(std::move(workspace)),
      becomes_snapshot_(becomes_snapshot),
      closed_(workspace_->gate()) {}

uint64_t GateHold::GatherUnlinked() {
  const auto live = workspace_->live();
  if (!live->files) return 0;
  gathered_ = mount_.unlinked.Gather(live->files->slot, *live->volume, becomes_snapshot_);
  return gathered_->count();
}

MomentHold::MomentHold(MountContext& mount, const std::shared_ptr<LiveWorkspace>& workspace)
    : gate_(mount, workspace, /*becomes_snapshot=*/false) {
  const auto live = workspace->live();
  if (!live->files) return;
  FileTree files(mount);
  writers_ = files.Writers(live->files->slot);
  // Without passthrough every write passes the gate.
  if (mount.open_files.passthrough()) StopWrites(mount, *workspace);
  files.WriteOut(writers_);
}

void MomentHold::StopWrites(MountContext& mount, LiveWorkspace& workspace) {
  std::vector<NodeHandle> open;
  for (const WriterHandle& writer : writers_) {
    if (!mount.open_files.HasWriters(writer.node)) continue;
    try {
      open.push_back(FileTree(mount).HandleOf(writer.node));
    } catch (const Error&) {  // closed and removed just now
    }
  }
  stopped_ = mount.write_stop.Stop(workspace.id(), std::move(open),
                                   [&](NodeId node) { return workspace.gate().Waits(node); });
}

}  // namespace ckptfs
