#include "fs/files/mount_context.h"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <exception>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr std::chrono::milliseconds kTidyInterval{200};

Error MissingData() {
  return Error(EIO, "read a workspace or snapshot", "its data is missing",
               "See 'ckpt fsck' and 'ckpt status'");
}

}  // namespace

MountContext::MountContext(Store& store_in, KernelCache& kernel_in, MountOptions options_in,
                           MountHelper& mount_helper)
    : store(store_in),
      kernel(kernel_in),
      options(std::move(options_in)),
      volumes(store.backend()),
      workspaces(store, slots),
      stale_names(kernel, slots),
      helper(mount_helper),
      write_barrier(mount_helper),
      invalidator(kernel),
      writer_watch([this](Slot slot) { return !mapped.Writers(slot).empty(); },
                   [this](const DetachedState& state) {
                     store.WritersGone(state.volume);
                     slots.Unpin(state.slot);
                   }),
      tidier(kTidyInterval, [this] {
        const bool maybe_mapped = mapped.LookAtSome();
        const bool open_volumes = volumes.DropIdle();
        return directory_fds.DropIdle() || maybe_mapped || open_volumes;
      }) {
  slots.OnEnd([this](Slot slot) { inodes.ForgetSlot(slot); });
  // In a store with many snapshots, the number of the last deleted one may be the only free number, and the
  // deleted snapshot may still be read.
  store.SetViewHolder([this](uint64_t view) { return slots.HasNumber(view); });
}

MountContext::~MountContext() {
  slots.OnEnd(nullptr);
  store.SetViewHolder(nullptr);
}

std::string MountContext::NameOf(int64_t workspace_id) const {
  const auto record = store.rows().FindWorkspace(workspace_id);
  return record ? record->name : "?";
}

Node MountContext::Resolve(NodeId node_id) {
  Node node{.id = node_id, .view = slots.Find(SlotOf(node_id))};
  if (!node.view) throw Error(ESTALE, "find a file");
  node.is_root = InodeOf(node_id) == kRootInode;
  switch (node.view->kind) {
    case View::Kind::kLiveDirectories: {
      node.workspace = node.view->workspace;
      const std::shared_ptr<const Live> live = node.workspace->live();
      if (!live->volume) {
        // A removed directory that is still in use.
        if (node.workspace->retired()) throw Error(ESTALE, "find a file", "its workspace is gone");
        throw MissingData();
      }
      node.volume = live->volume;
      node.files = live->files;
      if (!node.is_root) node.file.generation = node.workspace->directories().GenerationOf(node_id);
      break;
    }
    case View::Kind::kLiveFiles:
      node.workspace = node.view->workspace;
      node.volume = volumes.OfFiles(*node.view);
      break;
    case View::Kind::kSnapshot:
      node.in_writing = store.IsInWriting(node.view->volume_id);
      try {
        node.volume = volumes.Open(node.view->volume_id);
        tidier.Wake();
      } catch (const Error& error) {
        if (error.errno_value() != ENOENT) throw;
        // A committed deletion is not a loss.
        const auto snapshot = store.rows().FindSnapshot(node.view->snapshot_id);
        if (!snapshot) {
          if (!open_files.AnyFd(node_id)) {
            throw Error(ESTALE, "read a snapshot", "it has been deleted");
          }
          break;  // open files can still be read
        }
        if (snapshot->state != SnapshotState::kMissing) NoteMissing(snapshot->id);
        throw MissingData();
      }
      break;
  }
  node.file.inode = node.is_root && node.volume ? node.volume->root_inode() : InodeOf(node_id);
  return node;
}

// Not on this thread: an operation may hold the store's operation lock while it waits for the thread of a
// ring.
void MountContext::NoteMissing(int64_t snapshot_id) {
  missing.Post([this, snapshot_id] {
    try {
      store.MarkMissing(snapshot_id);
    } catch (const std::exception& error) {
      spdlog::error("note that the data of a snapshot is missing: {}", error.what());
    }
  });
}

}  // namespace ckptfs
