// FileTree: listings.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "catalog/names.h"
#include "fs/file_tree_internal.h"

namespace ckptfs {
namespace {

// With snapdir=visible, .snapshots stands before all other names, at a position that no directory
// underneath uses.
constexpr off_t kAfterSnapshotsName = off_t{1} << 62;

constexpr size_t kBufferBytesMax = 64 << 10;

bool IsDotName(const char* name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

mode_t TypeOf(unsigned char d_type) { return DTTOIF(d_type); }

}  // namespace

void FileTree::List(NodeId directory_id, off_t offset, size_t size_hint, bool with_attributes,
                    const ListSink& sink) {
  Node node = mount_.Resolve(directory_id);
  if (with_attributes && node.workspace) {
    // Before the volume is chosen: a rollback that switches it after that is to know of this.
    node.workspace->directories().NoteListing(directory_id);
    node = mount_.Resolve(directory_id);
  }
  // The kernel keeps no open directory (a round trip saved at each opendir and closedir), so each
  // call opens it anew and goes on where the last one ended: positions are stable.
  const UniqueFd directory = OpenDirectory(*node.volume, node.file, O_RDONLY);
  if (node.is_root && node.workspace && offset == 0 &&
      mount_.options.snapshot_directory == SnapshotDirectory::kVisible) {
    const NodeId list =
        MakeVirtualNode(VirtualKind::kInnerList, static_cast<uint64_t>(node.workspace->id()));
    if (!sink({.name = kSnapshotsName.data(),
               .number = list,
               .type = S_IFDIR,
               .next = kAfterSnapshotsName,
               .entry = std::nullopt})) {
      return;
    }
  }
  if (offset == kAfterSnapshotsName) offset = 0;
  if (offset != 0) CheckSyscall(lseek(directory.get(), offset, SEEK_SET), "list a directory");
  std::vector<char> buffer(std::clamp(size_hint, size_t{4096}, kBufferBytesMax));
  while (true) {
    const ssize_t size =
        CheckSyscall(getdents64(directory.get(), buffer.data(), buffer.size()), "list a directory");
    if (size == 0) return;
    for (ssize_t at = 0; at < size;) {
      const auto* found = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += found->d_reclen;
      if (node.is_root && found->d_name == kUnlinkedName) continue;
      ListedName listed{.name = found->d_name,
                        .number = 0,
                        .type = TypeOf(found->d_type),
                        .next = found->d_off,
                        .entry = std::nullopt};
      const View& view = node.workspace && listed.type != S_IFDIR ? *node.files : *node.view;
      const bool names_root = found->d_ino == node.volume->root_inode();
      listed.number = MakeNumber(view.number, names_root ? kRootInode : found->d_ino);
      if (with_attributes && !IsDotName(found->d_name)) {
        try {
          listed.entry = MakeEntry(node, directory.get(), found->d_name);
          if (listed.entry->node == 0) continue;  // removed meanwhile
        } catch (const Error& error) {
          if (error.errno_value() == ENOENT) continue;
        }
      }
      if (!sink(listed)) {
        if (listed.entry) Forget(listed.entry->node, 1);
        return;
      }
    }
  }
}

}  // namespace ckptfs
