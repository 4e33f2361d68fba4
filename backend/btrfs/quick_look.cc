#include "backend/btrfs/quick_look.h"

#include <endian.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>

#include <cstring>
#include <string>

#include "backend/btrfs/btrfs_util.h"
#include "backend/btrfs/subvolume_files.h"
#include "backend/btrfs/tree_search.h"
#include "backend/compare/comparison.h"
#include "backend/interface/backend.h"

namespace ckptfs {
namespace {

// Thrown to end a search.
struct Decided {};

class QuickLook {
 public:
  QuickLook(int older_root_fd, int newer_root_fd, size_t files_max, WorkLimits& limits)
      : older_(older_root_fd, limits),
        newer_(newer_root_fd, limits),
        newer_root_fd_(newer_root_fd),
        since_(FirstTransactionAfter(older_root_fd)),
        files_left_(files_max) {}

  bool MayBeEqual() {
    const TreeRange range{.tree_id = 0,  // that of newer_root_fd_
                          .min_objectid = kSubvolumeRootInode,
                          .max_objectid = BTRFS_LAST_FREE_OBJECTID,
                          .min_type = BTRFS_INODE_ITEM_KEY,
                          .max_type = BTRFS_INODE_ITEM_KEY,
                          .min_transaction = since_};
    try {
      SearchTree(newer_root_fd_, range, [this](const TreeItem& item) { LookAt(item); });
    } catch (const Decided&) {
      return false;
    }
    return true;
  }

 private:
  void LookAt(const TreeItem& item) {
    newer_.limits().RequireWanted();
    btrfs_inode_item inode{};
    if (item.data.size() < sizeof(inode)) return;
    std::memcpy(&inode, item.data.data(), sizeof(inode));
    if (le64toh(inode.transid) < since_) return;  // only shares a leaf with changes
    if (files_left_-- == 0) throw Decided();
    // One of its names tells as much as all. An inode without a name is not in the tree.
    if (item.objectid == kSubvolumeRootInode) return LookAtPath("");
    newer_.ForEachPathOf(item.objectid, [this](const std::string& path) {
      LookAtPath(path);
      return false;
    });
  }

  void LookAtPath(const std::string& path) const {
    if (!IsPrivatePath(path) && DiffersAt(path)) throw Decided();
  }

  bool DiffersAt(const std::string& path) const {
    const std::optional<FileStatus> was = older_.Find(path);
    const std::optional<FileStatus> is = newer_.Find(path);
    if (was.has_value() != is.has_value()) return true;
    if (!is) return false;
    if (StatusDiffers(*was, *is)) return true;
    return is->IsDirectory() && NamesBytes(older_, path, *was) != NamesBytes(newer_, path, *is);
  }

  // btrfs stores as a directory's size twice the length of all names in it.
  static uint64_t NamesBytes(const SubvolumeFiles& files, const std::string& path,
                             const FileStatus& directory) {
    const std::string no_part(kPrivateDirectoryName);
    if (!path.empty() || !files.Has(no_part)) return directory.size;
    return directory.size - 2 * no_part.size();
  }

  const SubvolumeFiles older_;
  const SubvolumeFiles newer_;
  const int newer_root_fd_;
  const uint64_t since_;
  size_t files_left_;
};

}  // namespace

bool SubvolumesMayBeEqual(int older_root_fd, int newer_root_fd, size_t files_max,
                          WorkLimits& limits) {
  return QuickLook(older_root_fd, newer_root_fd, files_max, limits).MayBeEqual();
}

}  // namespace ckptfs
