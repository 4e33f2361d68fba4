#include "fs/operations/live_holds.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "fs/files/file_tree.h"

namespace ckptfs {

FreezeHold::FreezeHold(const HoldParts& parts, std::shared_ptr<LiveWorkspace> workspace,
                       bool becomes_snapshot)
    : parts_(parts),
      workspace_(std::move(workspace)),
      becomes_snapshot_(becomes_snapshot),
      closed_(workspace_->freeze_lock()) {}

uint64_t FreezeHold::GatherUnlinked() {
  const auto live = workspace_->live();
  if (live->files) stopped_ = StopWrites(parts_.open.inodes.WithoutLink(live->files->slot));
  const uint64_t count = GatherUnlinked(stopped_.get());
  if (left_out() != 0) {
    spdlog::warn("{} open files of workspace {} that have no name are not kept: {}", left_out(),
                 parts_.nodes.NameOf(workspace_->id()), stopped_ ? stopped_->gap() : "");
  }
  return count;
}

uint64_t FreezeHold::GatherUnlinked(const WriteBarrier::Stopped* stopped) {
  const auto live = workspace_->live();
  if (!live->files) return 0;
  const auto is_still = [&](NodeId node) {
    // Without passthrough, every write passes the freeze lock. With it, a writer waiting there holds the
    // inode lock.
    return !parts_.open.files.passthrough() || !parts_.open.files.HasWriters(node) ||
           workspace_->freeze_lock().Waits(node) || (stopped != nullptr && stopped->Holds(node));
  };
  gathered_ = std::make_unique<GatheredOrphans>(parts_.open.inodes, live->files->slot,
                                                *live->volume, becomes_snapshot_, is_still);
  return gathered_->count();
}

std::unique_ptr<WriteBarrier::Stopped> FreezeHold::StopWrites(const std::vector<NodeId>& nodes) {
  if (!parts_.open.files.passthrough()) return nullptr;
  std::vector<NodeHandle> open;
  for (const NodeId node : nodes) {
    if (!parts_.open.files.HasWriters(node)) continue;
    try {
      open.push_back(parts_.files.HandleOf(node));
    } catch (const Error&) {  // closed and removed just now
    }
  }
  return parts_.barrier.Stop(workspace_->id(), std::move(open),
                             [this](NodeId node) { return workspace_->freeze_lock().Waits(node); });
}

ConsistentCut::ConsistentCut(const HoldParts& parts,
                             const std::shared_ptr<LiveWorkspace>& workspace)
    : freeze_lock_(parts, workspace, /*becomes_snapshot=*/false) {
  const auto live = workspace->live();
  if (!live->files) return;
  writers_ = parts.open.mapped.Writers(live->files->slot);
  StopWrites(parts.open.orphans);
  parts.files.WriteOut(writers_);
}

// Nameless files first: if there are too many, those would be left out of the copy, not just keep changing.
void ConsistentCut::StopWrites(const OrphanInodes& orphans) {
  std::vector<NodeId> nodes;
  for (const WriterHandle& writer : writers_) nodes.push_back(writer.node);
  std::stable_partition(nodes.begin(), nodes.end(),
                        [&](NodeId node) { return orphans.Contains(node); });
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
