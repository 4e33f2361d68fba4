// FileTree: listings.
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/trees/names.h"
#include "fs/files/file_tree_internal.h"
#include "fs/nodes/list_position.h"

namespace ckptfs {
namespace {

// With snapdir=visible, .snapshots comes before all other names, at a position that no underlying directory
// uses.
constexpr off_t kAfterSnapshotsName = off_t{1} << 62;

constexpr size_t kBufferBytesMax = 64 << 10;

bool IsDotName(const char* name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

mode_t TypeOf(unsigned char d_type) { return DTTOIF(d_type); }

// Whether positions are numbers given to entries in order of creation. Elsewhere (ext4, xfs) they are
// locations, and listings end by themselves.
bool HasNumberedEntries(int directory_fd) {
  struct statfs status {};
  CheckSyscall(fstatfs(directory_fd, &status), "look at a filesystem");
  return status.f_type == BTRFS_SUPER_MAGIC;
}

// Whether any entry has that number or a larger one.
bool HasEntryFrom(int directory_fd, int64_t number) {
  std::array<char, 512> buffer{};  // room for one entry
  CheckSyscall(lseek(directory_fd, number, SEEK_SET), "list a directory");
  return CheckSyscall(getdents64(directory_fd, buffer.data(), buffer.size()), "list a directory") >
         0;
}

// The largest number of an entry; `below` is the number of an existing entry. No call returns it, but
// searching is quick. If it is too large to be kept: more than ListPosition::kLastMax.
int64_t LargestNumber(int directory_fd, int64_t below) {
  int64_t step = 1;
  while (HasEntryFrom(directory_fd, below + step)) {
    below += step;
    if (below > ListPosition::kLastMax) return below;
    step *= 2;
  }
  int64_t beyond = below + step;
  while (beyond - below > 1) {
    const int64_t middle = below + (beyond - below) / 2;
    (HasEntryFrom(directory_fd, middle) ? below : beyond) = middle;
  }
  return below;
}

// The same for a directory from which these entries were read, starting at position `begin`.
int64_t LargestNumber(int directory_fd, int64_t begin, std::string_view entries) {
  int64_t number = begin;
  int64_t next = begin;
  for (size_t at = 0; at < entries.size();) {
    const auto* found = reinterpret_cast<const dirent64*>(entries.data() + at);
    number = std::exchange(next, found->d_off);
    at += found->d_reclen;
  }
  const int64_t largest = LargestNumber(directory_fd, number);
  CheckSyscall(lseek(directory_fd, next, SEEK_SET), "list a directory");
  return largest;
}

}  // namespace

void FileTree::List(NodeId directory_id, off_t offset, size_t size_hint, bool with_attributes,
                    const ListSink& sink) {
  Node node = resolver_.Resolve(directory_id);
  if (with_attributes && node.workspace) {
    // Before the volume is chosen: a rollback that switches it afterwards must know of this listing.
    node.workspace->directories().NoteListing(directory_id);
    node = resolver_.Resolve(directory_id);
  }
  // The kernel keeps no directory open (which saves a round trip at each opendir and closedir), so each call
  // opens it anew and continues where the last one ended: positions are stable.
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
  const bool has_numbers = HasNumberedEntries(directory.get());
  ListPosition position =
      has_numbers ? ListPosition::Decode(offset) : ListPosition{.next = offset, .last = 0};
  if (position.AtEnd()) return;
  if (offset != 0)
    CheckSyscall(lseek(directory.get(), position.next, SEEK_SET), "list a directory");
  std::vector<char> buffer(std::clamp(size_hint, size_t{4096}, kBufferBytesMax));
  while (true) {
    const ssize_t size =
        CheckSyscall(getdents64(directory.get(), buffer.data(), buffer.size()), "list a directory");
    if (size == 0) return;
    if (has_numbers && position.last == 0) {
      const std::string_view entries(buffer.data(), static_cast<size_t>(size));
      position.last = LargestNumber(directory.get(), position.next, entries);
    }
    for (ssize_t at = 0; at < size;) {
      const auto* found = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += found->d_reclen;
      if (position.AtEnd()) return;  // its number is the one after the last entry
      position.next = found->d_off;
      if (node.is_root && found->d_name == kUnlinkedName) continue;
      ListedName listed{.name = found->d_name,
                        .number = 0,
                        .type = TypeOf(found->d_type),
                        .next = position.Encode(),
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
