#include "fs/files/node_resolver.h"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <exception>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

Error MissingData() {
  return Error(EIO, "read a workspace or snapshot", "its data is missing",
               "See 'ckpt fsck' and 'ckpt status'");
}

}  // namespace

Node NodeResolver::Resolve(NodeId node_id) {
  Node node{.id = node_id, .view = nodes_.slots.Find(SlotOf(node_id))};
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
      node.volume = nodes_.volumes.OfFiles(*node.view);
      break;
    case View::Kind::kSnapshot:
      ResolveInSnapshot(node);
      break;
  }
  node.file.inode = node.is_root && node.volume ? node.volume->root_inode() : InodeOf(node_id);
  return node;
}

void NodeResolver::ResolveInSnapshot(Node& node) {
  node.in_writing = nodes_.store.IsInWriting(node.view->volume_id);
  try {
    node.volume = nodes_.volumes.Open(node.view->volume_id);
    tidier_.Wake();
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    // A committed deletion is not a loss.
    const auto snapshot = nodes_.store.rows().FindSnapshot(node.view->snapshot_id);
    if (!snapshot) {
      if (!open_files_.AnyFd(node.id)) {
        throw Error(ESTALE, "read a snapshot", "it has been deleted");
      }
      return;  // open files can still be read
    }
    if (snapshot->state != SnapshotState::kMissing) NoteMissing(snapshot->id);
    throw MissingData();
  }
}

// Not on this thread: an operation may hold the store's operation lock while it waits for the thread of a
// ring. Marks the snapshot as missing in the store.
void NodeResolver::NoteMissing(int64_t snapshot_id) {
  missing_.Post([this, snapshot_id] {
    try {
      nodes_.store.MarkMissing(snapshot_id);
    } catch (const std::exception& error) {
      spdlog::error("note that the data of a snapshot is missing: {}", error.what());
    }
  });
}

}  // namespace ckptfs
