// FileTree: support for file handles, which name files by their nodes (name_to_handle_at(2), NFS).
#include <fcntl.h>
#include <sys/stat.h>

#include "fs/files/file_tree_internal.h"

namespace ckptfs {

// ESTALE unless the node certainly stands for the same file as before. If the number has been reused, the
// generation differs, which the kernel compares.
Entry FileTree::FindAgain(NodeId node_id) {
  Node node = resolver_.Resolve(node_id);
  if (!node.volume) throw Error(ESTALE, "find a file", "its snapshot has been deleted");
  if (IsLeftBehind(node)) {
    throw Error(ESTALE, "find a file", "a rollback has put another in its place");
  }
  const Timeout timeout(*this, node.in_writing);
  const UniqueFd fd = node.volume->OpenInode(node.file, O_PATH | O_NOFOLLOW);
  const struct statx status = open_.orphans.Stat(node_id, fd.get());
  if (status.stx_nlink == 0) throw Error(ESTALE, "find a file", "it has been removed");
  const bool is_directory = S_ISDIR(status.stx_mode);
  const bool is_of_directories = node.view->kind == View::Kind::kLiveDirectories;
  if (status.stx_ino == node.volume->root_inode() ||
      (node.workspace && is_directory != is_of_directories)) {
    throw Error(ESTALE, "find a file", "another has its number");
  }
  FileId id;
  if (NeedsIdentity(node, status.stx_mode)) id = node.volume->Identify(fd.get(), "");
  if (is_directory && node.workspace) {
    const NodeHandle again = node.workspace->directories().AcquireAgain(id, *node.view);
    return MakeEntry(node, again, status, timeout);
  }
  node.files = node.view;
  return MakeEntry(node, status, id, timeout);
}

std::optional<Entry> FileTree::FindParent(NodeId directory_id) {
  const Node node = resolver_.Resolve(directory_id);
  if (!node.volume) throw Error(ESTALE, "find a directory", "its snapshot has been deleted");
  const UniqueFd fd = OpenDirectory(*node.volume, node.file, O_PATH);
  const auto is_root = [&] { return StatxAt(fd.get(), "..").stx_ino == node.volume->root_inode(); };
  if (is_root()) return std::nullopt;
  const Entry entry = MakeEntry(node, fd.get(), "..");
  if (InodeOf(entry.node) != node.volume->root_inode()) return entry;
  Forget(entry.node, 1);
  throw Error(ESTALE, "find a directory's parent", "it is being moved");
}

NodeHandle FileTree::HandleOf(NodeId file) const {
  const Node node = resolver_.Resolve(file);
  FileId id;
  if (NeedsIdentity(node, S_IFREG)) id = node.volume->Identify(OpenPath(node).get(), "");
  return {.node = file, .generation = GenerationOf(*node.view, *node.volume, id)};
}

}  // namespace ckptfs
